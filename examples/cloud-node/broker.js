/**
 * The calls to the broker's internal API. Keep its token secret: it opens the account of every user.
 * 对 Broker 内部 API 的调用。请妥善保管它的令牌：用它可以访问所有用户的账号。
 */
export class Broker {
  #url;
  #token;

  constructor(url, token) {
    this.#url = url;
    this.#token = token;
  }

  /** Returns the SDK token for the phone, and its ETag. Hand both to the app unchanged. */
  async sdkToken({ unionId, country }, uniqueId) {
    const terminal = `/accounts/${encodeURIComponent(unionId)}/terminals/${encodeURIComponent(uniqueId)}`;
    const answer = await this.#call('GET', `${terminal}/sdk-token?regRegion=${country}`);
    return { sdkToken: await answer.json(), sdkTokenEtag: answer.headers.get('etag') };
  }

  /** Returns the accessId of an account, also of one that has never opened the app. */
  async accessId({ unionId, country }) {
    const path = `/accounts/${encodeURIComponent(unionId)}/access-id?regRegion=${country}`;
    return (await (await this.#call('PUT', path)).json()).accessId;
  }

  /** Returns pairs of accessId and unionId. The broker leaves out what it does not know. */
  async unionIds(accessIds) {
    return Object.entries(await (await this.#call('POST', '/accounts/lookup', { accessIds })).json());
  }

  /** Deletes everything the broker has of the account. It refuses the account's sessions from then on. */
  async erase(unionId) {
    await this.#call('DELETE', `/accounts/${encodeURIComponent(unionId)}`);
  }

  /**
   * A first login at the vendor takes a second or two, and longer while the vendor has trouble. If the time is up, the
   * broker finishes the login all the same, and the next question gets its result.
   * 首次向厂商登录需要一两秒，厂商有故障时更久。即使这里超时，Broker 也会完成登录，下一次调用就能得到结果。
   */
  async #call(method, path, body) {
    const headers = { authorization: `Bearer ${this.#token}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const signal = AbortSignal.timeout(10_000);
    const answer = await fetch(this.#url + path, { method, headers, body: body && JSON.stringify(body), signal });
    if (answer.ok) return answer;
    // The problem document names no account and holds no secret.
    const { code, requestId } = await answer.json().catch(() => ({}));
    throw new Error(`the broker answered ${method} with ${answer.status} ${code}, request ${requestId}`);
  }
}
