/** The calls to the broker's internal API. Keep its token secret: it opens the account of every user. */
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
