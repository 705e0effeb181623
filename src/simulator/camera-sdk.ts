/** The five strings the vendor's SDK takes (protocol.md, "Response"). */
export interface UserC2CInfo {
  readonly accessId: string;
  readonly accessToken: string;
  readonly expireTime: string;
  readonly terminalId: string;
  readonly expend: string;
}

/**
 * As much of the vendor's SDK as the flow needs: it asks the app for credentials and uses them at the vendor.
 */
export class CameraSdk {
  readonly #vendorUrl: string;
  readonly #onRequestUserC2CInfo: () => Promise<Record<string, unknown>>;

  constructor(vendorUrl: string, onRequestUserC2CInfo: () => Promise<Record<string, unknown>>) {
    this.#vendorUrl = vendorUrl;
    this.#onRequestUserC2CInfo = onRequestUserC2CInfo;
  }

  /** Asks the app. @throws Error where one of the five is not a string that holds something */
  async logIn(): Promise<UserC2CInfo> {
    const { accessId, accessToken, expireTime, terminalId, expend } = await this.#onRequestUserC2CInfo();
    const info = { accessId, accessToken, expireTime, terminalId, expend };
    for (const [name, value] of Object.entries(info)) {
      if (typeof value !== 'string' || value === '') throw new Error(`the SDK takes no credentials without ${name}`);
    }
    return info as UserC2CInfo;
  }

  /** Whether the vendor still takes the token. */
  async isOnline({ accessToken }: UserC2CInfo): Promise<boolean> {
    const response = await fetch(`${this.#vendorUrl}/simulator/check-token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ accessToken }),
    });
    return ((await response.json()) as { live: boolean }).live;
  }
}
