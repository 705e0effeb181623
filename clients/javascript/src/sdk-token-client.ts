import { BrokerError, headerOf, jsonOf, loggedOut, stringOf } from './broker-error.js';
import { Call } from './call.js';
import { SessionRequests, type SessionSource } from './session-requests.js';
import { fetchTransport, type Transport } from './transport.js';

/** Pass all of its fields on to the SDK, unchanged. */
export interface SdkToken {
  readonly accessId: string;
  /** A secret. */
  readonly accessToken: string;
  /** Epoch seconds. */
  readonly expireTime: string;
  readonly terminalId: string;
  readonly expend: string;
}

/** Keeps one value. Encrypt it where the platform can. `set` resolves after the value is stored for good. */
export interface TokenStorage {
  get(key: string): string | null | undefined | Promise<string | null | undefined>;
  set(key: string, value: string): unknown;
  remove(key: string): unknown;
}

export interface SdkTokenClientOptions {
  /** Base URL of the broker. */
  readonly broker: string;
  /** Names the phone: 1 to 128 visible ASCII characters, the same for as long as the app is installed. */
  readonly uniqueId: string;
  readonly sessions: SessionSource;
  readonly storage: TokenStorage;
  /** Default: {@link fetchTransport}. */
  readonly transport?: Transport;
  /** Only if the broker serves several apps, and the sessions do not name theirs. */
  readonly app?: string;
  /** Country of the account (ISO 3166-1 alpha-2), only if neither the sessions nor the broker know it. */
  readonly regRegion?: string;
  /** Of a whole call. Default: 30,000. */
  readonly deadlineMs?: number;
  /** Of one attempt. Default: 10,000. */
  readonly attemptTimeoutMs?: number;
}

/** What the app uses of {@link SdkTokenClient}. The app's tests can replace it. */
export interface TokenClient {
  /**
   * Returns the token of this user, never that of another one. Callers at the same time share one request. A call for
   * another user ends it with `logged_out`.
   * @param userId the app's own id of the account, always the same for one account
   * @throws BrokerError, or the error of the storage
   */
  sdkToken(userId: string): Promise<SdkToken>;
  /** The vendor refused the token: the next request reports it, also after a restart. It sends nothing itself. */
  tokenWasRefused(): Promise<void>;
  /**
   * Takes the token of the app's own login answer. The next `sdkToken()` of this user returns it without a request.
   * @param token the broker's answer to the app's cloud, as an object
   * @param etag the `ETag` of that answer
   * @throws BrokerError if it is no token. The token of another user is then deleted all the same
   */
  useToken(userId: string, token: unknown, etag?: string): Promise<void>;
  /**
   * Forgets the token, and asks the broker once to do the same. Call it while the session is valid. It stores nothing for
   * later: if the broker was not reached, your cloud can log the terminal out.
   * @returns whether the broker confirmed it
   * @throws the error of the storage, if that still holds the token. The broker has been asked even so
   */
  logout(): Promise<boolean>;
}

interface Stored {
  readonly userId: string;
  readonly token: SdkToken;
  readonly etag?: string | undefined;
  /** The vendor refused it, and the broker has not answered this report yet. */
  readonly isRefused?: boolean;
  /** The app's own login answer contained it, and nobody has got it yet. */
  readonly isHandedIn?: boolean;
}

const KEY = 'sdk-token';
const MAX_TIME_MS = 10 * 60_000;

/** Gets the vendor's token from the broker. Keep one instance: two with the same storage overwrite each other's value. */
export class SdkTokenClient implements TokenClient {
  private readonly url: string;
  private readonly requests: SessionRequests;
  private readonly storage: TokenStorage;
  private readonly deadlineMs: number;
  private readonly attemptTimeoutMs: number;
  /** `undefined` until the storage has been read. */
  private stored: Stored | null | undefined;
  /** The operations on the storage, in the order of the calls. */
  private storing: Promise<unknown> = Promise.resolve();
  /** The user whom the app has named last. */
  private userId: string | undefined;
  private fetching: { readonly call: Call; readonly token: Promise<SdkToken> } | undefined;
  /** The last session that the broker accepted from this user. */
  private lastSession: string | undefined;
  private loggingOut: Promise<boolean> = Promise.resolve(true);

  /** @throws RangeError for an address, a name of the phone or a time that cannot work */
  constructor(options: SdkTokenClientOptions) {
    const { uniqueId, app, regRegion, deadlineMs = 30_000, attemptTimeoutMs = 10_000 } = options;
    if (!/^(?!\.\.?$)[\x21-\x7e]{1,128}$/.test(uniqueId))
      throw new RangeError('uniqueId must have 1 to 128 visible ASCII characters, and not be . or .. alone');
    for (const [name, ms] of Object.entries({ deadlineMs, attemptTimeoutMs }))
      if (!(ms > 0 && ms <= MAX_TIME_MS))
        throw new RangeError(`${name} must be more than 0 and at most ${MAX_TIME_MS}`);
    const query = Object.entries({ uniqueId, app, regRegion }).filter(([, value]) => value !== undefined);
    const parameters = query.map(([name, value]) => `${name}=${encodeURIComponent(`${value}`)}`);
    this.url = `${baseUrl(options.broker)}/sdk-token?${parameters.join('&')}`;
    this.requests = new SessionRequests(options.sessions, options.transport ?? fetchTransport, attemptTimeoutMs);
    this.storage = options.storage;
    this.deadlineMs = deadlineMs;
    this.attemptTimeoutMs = attemptTimeoutMs;
  }

  sdkToken(userId: string): Promise<SdkToken> {
    this.become(userId);
    if (!this.fetching) {
      const call = new Call(this.deadlineMs);
      const fetching = { call, token: call.waitFor(this.fetchToken(userId, call)) };
      const finish = () => {
        call.end(loggedOut()); // Nobody waits for it any more. This stops its timer.
        if (this.fetching === fetching) this.fetching = undefined;
      };
      fetching.token.then(finish, finish);
      this.fetching = fetching;
    }
    return this.fetching.token;
  }

  async tokenWasRefused(): Promise<void> {
    const stored = await this.load();
    if (stored && !stored.isRefused) await this.store({ ...stored, isRefused: true, isHandedIn: false });
  }

  async useToken(userId: string, token: unknown, etag?: string): Promise<void> {
    this.become(userId);
    const stored = sdkTokenOf(token);
    await this.store(stored ? { userId, token: stored, etag, isHandedIn: true } : null);
    if (!stored) throw new BrokerError('UNEXPECTED_ANSWER', 'unexpected_answer');
  }

  async logout(): Promise<boolean> {
    this.endFetch();
    const removed = this.store(null);
    this.loggingOut = this.deleteToken(this.lastSession);
    this.lastSession = undefined;
    const [isConfirmed] = await Promise.all([this.loggingOut, removed]);
    return isConfirmed;
  }

  private become(userId: string): void {
    if (this.userId === userId) return;
    this.endFetch();
    this.userId = userId;
    this.lastSession = undefined;
  }

  private endFetch(): void {
    this.fetching?.call.end(loggedOut());
    this.fetching = undefined;
  }

  private async fetchToken(userId: string, call: Call): Promise<SdkToken> {
    await call.waitFor(this.load());
    call.throwIfOver();
    if (this.stored && this.stored.userId !== userId) await call.waitFor(this.store(null));
    for (;;) {
      const known = this.stored;
      if (known?.isHandedIn && Number(known.token.expireTime) * 1_000 > Date.now()) {
        await call.waitFor(this.store({ ...known, isHandedIn: false }));
        return known.token;
      }
      // Its DELETE must not delete the token that this request gets.
      await call.waitFor(this.loggingOut);
      const refused = known?.isRefused ? tagOf(known.etag) : undefined;
      const headers: Record<string, string> = known?.etag && !known.isRefused ? { 'If-None-Match': known.etag } : {};
      const url = refused === undefined ? this.url : `${this.url}&refused=${refused}`;
      const accepted = headers['If-None-Match'] ? [200, 304] : [200];
      const [answer, session] = await this.requests.send({ method: 'GET', url, headers }, accepted, call);
      // After a logout, an answer must not restore the token.
      call.throwIfOver();
      this.lastSession = session;
      const now = this.stored;
      // The app has handed in a token, or reported this one as refused, during the request.
      if (now !== known && (now?.isHandedIn || answer.status === 304)) continue;
      if (known && answer.status === 304) return known.token;
      const token = sdkTokenOf(jsonOf(answer.text));
      if (!token) throw new BrokerError('UNEXPECTED_ANSWER', 'unexpected_answer', { status: answer.status });
      const etag = headerOf(answer, 'ETag');
      const isReported = now === known && refused !== undefined;
      const isSame = now?.token.accessToken === token.accessToken;
      const isRefused = isSame && now?.isRefused === true && !isReported && tagOf(etag) !== undefined;
      await call.waitFor(this.store({ userId, token, etag, isRefused }));
      if (!isRefused) return token;
    }
  }

  private async deleteToken(lastSession: string | undefined): Promise<boolean> {
    const call = new Call(this.attemptTimeoutMs);
    try {
      const session = lastSession ?? (await this.requests.session(call));
      await this.requests.attempt({ method: 'DELETE', url: this.url, headers: {} }, [204], session, call);
      return true;
    } catch {
      return false;
    } finally {
      call.end(loggedOut());
    }
  }

  /** A value that is damaged counts as none. */
  private load(): Promise<Stored | null> {
    const loaded = this.storing
      .catch(() => undefined)
      .then(async () => {
        if (this.stored === undefined) {
          const text = await this.storage.get(KEY);
          // A call that came meanwhile has replaced it.
          if (this.stored === undefined) this.stored = storedOf(text);
        }
        return this.stored;
      });
    this.storing = loaded;
    return loaded;
  }

  /** Takes effect for later calls at once. */
  private store(stored: Stored | null): Promise<void> {
    this.stored = stored;
    const written = this.storing
      .catch(() => undefined)
      .then(async () => {
        await (stored ? this.storage.set(KEY, JSON.stringify(stored)) : this.storage.remove(KEY));
      });
    this.storing = written;
    return written;
  }
}

function storedOf(text: string | null | undefined): Stored | null {
  const { userId, token, etag, isRefused, isHandedIn } = jsonOf(text ?? '');
  const known = sdkTokenOf(token);
  if (typeof userId !== 'string' || !known) return null;
  return { userId, token: known, etag: stringOf(etag), isRefused: isRefused === true, isHandedIn: isHandedIn === true };
}

/** Only the fields that the SDK knows. `undefined` if one of them is missing. */
function sdkTokenOf(value: unknown): SdkToken | undefined {
  const fields = Object(value) as Record<string, unknown>;
  const names = ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expend'] as const;
  const token: Partial<Record<(typeof names)[number], string>> = {};
  for (const name of names) {
    const field = fields[name];
    if (typeof field !== 'string') return undefined;
    token[name] = field;
  }
  return token as SdkToken;
}

/** What is between the quotation marks of an `ETag` of the broker. */
function tagOf(etag: string | undefined): string | undefined {
  return /^(?:W\/)?"([A-Za-z0-9_-]{1,64})"$/.exec(etag ?? '')?.[1];
}

function baseUrl(broker: string): string {
  if (!/^https?:\/\/[^\s/?#]+(?:\/[^\s?#]*)?$/i.test(broker))
    throw new RangeError('broker must be an http or https URL without a query, such as https://broker.example');
  return broker.replace(/\/+$/, '');
}
