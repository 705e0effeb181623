/** The five strings that the vendor's SDK needs (docs/vendor-login.md, "Response"). */
export interface UserC2CInfo {
  readonly accessId: string;
  readonly accessToken: string;
  readonly expireTime: string;
  readonly terminalId: string;
  readonly expend: string;
}

/** The part of the vendor's SDK that the demo needs: it asks the app for credentials and uses them at the vendor. */
export class CameraSdk {
  readonly #vendorUrl: string;
  readonly #onRequestUserC2CInfo: () => Promise<Record<string, unknown>>;

  /** @param onRequestUserC2CInfo the app's callback, named as in the vendor's SDK */
  constructor(vendorUrl: string, onRequestUserC2CInfo: () => Promise<Record<string, unknown>>) {
    this.#vendorUrl = vendorUrl;
    this.#onRequestUserC2CInfo = onRequestUserC2CInfo;
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
