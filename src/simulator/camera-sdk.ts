/** The five strings that the vendor's SDK needs (docs/vendor-login.md, "Response"). */
export interface UserC2CInfo {
  readonly accessId: string;
  readonly accessToken: string;
  readonly expireTime: string;
  readonly terminalId: string;
  readonly expend: string;
}

/** A person as the SDK shows one. */
export interface HostAccountInfo {
  readonly accessId: string;
  readonly nickName: string;
  readonly avatarUrl?: string;
}

/** The app's callbacks for sharing a camera by account, named as in the vendor's SDK. */
export interface ShareCallbacks {
  /** @returns `undefined` if nobody has the account */
  onRequestAccountInfoByAccount(account: string): Promise<HostAccountInfo | undefined>;
  onRequestAccountInfoByAccessId(accessIds: readonly string[]): Promise<readonly HostAccountInfo[]>;
}

/** The part of the vendor's SDK that the demo needs: it asks the app for credentials and uses them at the vendor. */
export class CameraSdk {
  readonly #vendorUrl: string;
  readonly #onRequestUserC2CInfo: () => Promise<Record<string, unknown>>;
  readonly #share: ShareCallbacks | undefined;
  /** The accessIds that the camera is shared with. The real SDK keeps them at the vendor. */
  readonly #sharedWith = new Set<string>();

  /** @param onRequestUserC2CInfo the app's callback, named as in the vendor's SDK */
  constructor(vendorUrl: string, onRequestUserC2CInfo: () => Promise<Record<string, unknown>>, share?: ShareCallbacks) {
    this.#vendorUrl = vendorUrl;
    this.#onRequestUserC2CInfo = onRequestUserC2CInfo;
    this.#share = share;
  }

  /**
   * The owner has typed the account of another person. Shares the camera with that person.
   * @throws Error if nobody has the account, or if the app's answer has no accessId or nickName
   */
  async shareWith(account: string): Promise<HostAccountInfo> {
    const person = await this.#share?.onRequestAccountInfoByAccount(account);
    if (!person) throw new Error('the app knows nobody with this account');
    if (!person.accessId || !person.nickName) throw new Error('the SDK takes nobody without accessId and nickName');
    this.#sharedWith.add(person.accessId);
    return person;
  }

  /** The people that the camera is shared with. */
  async sharedWith(): Promise<readonly HostAccountInfo[]> {
    if (this.#sharedWith.size === 0) return [];
    return (await this.#share?.onRequestAccountInfoByAccessId([...this.#sharedWith])) ?? [];
  }

  /** Asks the app for credentials. @throws Error if one of the five is missing, empty or not a string */
  async logIn(): Promise<UserC2CInfo> {
    const { accessId, accessToken, expireTime, terminalId, expend } = await this.#onRequestUserC2CInfo();
    const info = { accessId, accessToken, expireTime, terminalId, expend };
    for (const [name, value] of Object.entries(info)) {
      if (typeof value !== 'string' || value === '') throw new Error(`the SDK takes no credentials without ${name}`);
    }
    return info as UserC2CInfo;
  }

  /** Whether the vendor still accepts the token. */
  async isOnline({ accessToken }: UserC2CInfo): Promise<boolean> {
    const response = await fetch(`${this.#vendorUrl}/simulator/check-token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ accessToken }),
    });
    return ((await response.json()) as { live: boolean }).live;
  }
}
