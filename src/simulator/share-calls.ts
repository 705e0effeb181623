import type { IncomingMessage } from 'node:http';
import type { Clock } from '../token/clock.ts';
import type { HostAccountInfo } from './camera-sdk.ts';
import { BadRequest, readJson } from './http-server.ts';

/** The broker's internal API, as the customer cloud calls it. */
export interface InternalApi {
  readonly url: string;
  readonly token: string;
}

/** An account of the customer cloud. */
export interface CloudAccount {
  readonly unionId: string;
  /** The name that the user types at login. */
  readonly account: string;
  readonly region: string | undefined;
}

/** Look-ups that a user may cause at once. After that, one more becomes available each interval. */
const BURST = 10;
const INTERVAL_MS = 6_000;
/** A camera is shared with a few people. */
const MAX_ACCESS_IDS = 50;
const BROKER_TIMEOUT_MS = 30_000;

/** The user has caused too many look-ups. */
class TooManyRequests extends BadRequest {
  override readonly name = 'TooManyRequests';
  override readonly headers: Readonly<Record<string, string>>;

  constructor(waitMs: number) {
    super('too many look-ups', 429);
    this.headers = { 'retry-after': String(Math.ceil(waitMs / 1_000)) };
  }
}

/** Limits the look-ups of each user, so that nobody can try out account names. */
class LookupLimit {
  readonly #clock: Clock;
  /** By unionId, epoch ms at which the next look-up is due. */
  readonly #dueAt = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws TooManyRequests */
  admit(unionId: string): void {
    const now = this.#clock.now();
    const dueAt = Math.max(now, this.#dueAt.get(unionId) ?? 0);
    const waitMs = dueAt - (BURST - 1) * INTERVAL_MS - now;
    if (waitMs > 0) throw new TooManyRequests(waitMs);
    this.#dueAt.set(unionId, dueAt + INTERVAL_MS);
  }
}

/**
 * The two look-ups that sharing a camera by account needs: `GET /share/account?account=…` and `POST /share/accounts`. Only
 * for a user with a session, and limited per user. A name that nobody has and a name that is malformed get the same answer.
 */
export class ShareCalls {
  readonly #accounts: ReadonlyMap<string, CloudAccount>;
  readonly #limit: LookupLimit;
  #broker: InternalApi | undefined;

  /** @param accounts by the name that a user types */
  constructor(accounts: ReadonlyMap<string, CloudAccount>, clock: Clock) {
    this.#accounts = accounts;
    this.#limit = new LookupLimit(clock);
  }

  useBroker(broker: InternalApi): void {
    this.#broker = broker;
  }

  /** @param user the unionId of the session. @throws BadRequest, also for an account that does not exist */
  async byName(user: string, name: string | null): Promise<HostAccountInfo> {
    this.#limit.admit(user);
    const found = this.#accounts.get(name ?? '');
    if (!found) throw new BadRequest('there is no such account', 404);
    const query = found.region === undefined ? '' : `?regRegion=${found.region}`;
    const path = `/accounts/${encodeURIComponent(found.unionId)}/access-id${query}`;
    const { accessId } = (await this.#ask('PUT', path)) as { accessId: string };
    return { accessId, nickName: nickNameOf(found) };
  }

  /** @param user the unionId of the session. @throws BadRequest */
  async byAccessIds(user: string, request: IncomingMessage): Promise<{ accounts: HostAccountInfo[] }> {
    this.#limit.admit(user);
    const { accessIds } = Object(await readJson(request)) as { accessIds?: unknown };
    if (!isShortList(accessIds)) throw new BadRequest(`accessIds must be an array of 1 to ${MAX_ACCESS_IDS} strings`);
    const found = (await this.#ask('POST', '/accounts/lookup', { accessIds })) as Record<string, string>;
    const byUnionId = new Map([...this.#accounts.values()].map((account) => [account.unionId, account]));
    const accounts = Object.entries(found).flatMap(([accessId, unionId]) => {
      const account = byUnionId.get(unionId);
      return account ? [{ accessId, nickName: nickNameOf(account) }] : [];
    });
    return { accounts };
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    if (!this.#broker) throw new BadRequest('this cloud knows no broker, so it cannot look accounts up', 503);
    const { url, token } = this.#broker;
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(BROKER_TIMEOUT_MS),
    });
    if (response.ok) return response.json();
    throw new BadRequest('the look-up is not possible at this moment', 503);
  }
}

function isShortList(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_ACCESS_IDS) return false;
  return value.every((item) => typeof item === 'string' && item !== '');
}

/** The name, of which at most two thirds are shown. The vendor's SDK shows it and stores nothing. */
function nickNameOf({ account }: CloudAccount): string {
  const characters = [...account];
  const shown = Math.floor(characters.length / 3);
  const end = characters.slice(characters.length - Math.min(1, shown));
  return `${characters.slice(0, Math.min(2, shown)).join('')}***${end.join('')}`;
}
