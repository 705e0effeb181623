import { readFileSync } from 'node:fs';

/** A mistake of the kind that maintainers make, as a change of one text in one file. */
export interface Mistake {
  readonly name: string;
  readonly file: string;
  /** Text that occurs once in the file, and its replacement. Without one, it is left out. */
  readonly from: string;
  readonly to?: string;
}

/** The results of the latest run of `npm run simulate:mistakes` that found all. docs/test-results.md shows them. */
export interface MistakeResults {
  readonly date: string;
  /** The rule that found each mistake, or how the simulation ended. */
  readonly findings: Readonly<Record<string, string>>;
}

type Change = Omit<Mistake, 'file'>;

const SAVE: readonly Change[] = [
  {
    name: 'no fence: a logout or an erasure refuses no token',
    from: "if math.max(fence[OUTDATED], ended) >= sent or (isLeased and now - sent >= FENCE_MS) then return drop('outdated') end",
  },
  {
    name: 'a late write is accepted',
    from: "if storedSent >= sent then return drop('superseded') end",
  },
  {
    name: 'a write-back overwrites a newer token',
    from: "if storedSent >= sent then return drop('superseded') end",
    to: "if isLeased and storedSent >= sent then return drop('superseded') end",
  },
  {
    name: 'an erasure does not reach a renewal in flight',
    from: 'if math.max(fence[OUTDATED], ended) >= sent',
    to: 'if fence[OUTDATED] >= sent',
  },
  {
    name: 'no token is ever suspect',
    from: 'local isSuspect = math.max(storedAnswered, fence[DROPPED]) >= sent',
    to: 'local isSuspect = false',
  },
  {
    name: 'a token is stored without a due time',
    from: "redis.call('ZADD', KEYS[4], isSuspect and now or now + dueIn, id)",
  },
];

const PRELUDE: readonly Change[] = [
  {
    name: 'equal generations are always saved',
    from: ' and string.sub(record, 23, 26) == string.sub(other, 23, 26)',
  },
  {
    name: 'a script that arrives after its deadline is executed',
    from: "if deadline ~= '' and now > tonumber(deadline) then",
    to: 'if false then',
  },
  {
    name: 'the logout of an account does not reach a renewal in flight',
    from: ', timeIn(account, FIELD_LOGGED_OUT_AT))',
    to: ')',
  },
  {
    name: 'a change is not announced',
    from: "redis.call('PUBLISH', channel, text .. ' ' .. change)",
  },
];

const REMOVE: readonly Change[] = [
  {
    name: 'a logout does not reach a renewal in flight',
    from: 'raiseFence(KEYS[1], terminal, OUTDATED, outdated, limit)',
  },
  { name: 'a logout leaves the due time', from: "redis.call('ZREM', KEYS[3], id)" },
];

const ACQUIRE: readonly Change[] = [
  {
    name: 'a lease is granted although another replica holds it',
    from: "if heldFor > 0 and redis.call('GET', KEYS[1]) ~= owner then",
    to: 'if false then',
  },
];

const LOGIN: readonly Change[] = [
  {
    name: 'a login without a lease takes its generation after the answer',
    from: 'token,\n      generation,',
    to: 'token,\n      generation: lease ? generation : generationNow(request),',
  },
  {
    name: 'the own clock minus 5 s instead of the clock of the store, and no token is suspect for it',
    from: 'return Math.floor(terminals.clockFor(id) ?? clock.now() + toleranceMs);',
    to: 'return Math.floor(clock.now() - Math.abs(toleranceMs) + 0 * (terminals.clockFor(id) ?? 0));',
  },
  {
    name: 'the login budget shrinks with the life of the token',
    from: 'const { loginBudgetMs: budgetMs } = options;',
    to: 'const { loginBudgetMs } = options; const old = start.current?.token; const budgetMs = old ? Math.min(loginBudgetMs, Math.max(1_000, (old.expiresAt - clock.now()) / 2)) : loginBudgetMs;',
  },
  {
    name: 'the token of another replica is not looked for under the lease',
    from: 'if (current && request.satisfies(current)) {',
    to: 'if (current && request.satisfies(current) && request.known === current) {',
  },
];

const RENEWAL: readonly Change[] = [
  {
    name: 'the lease of a due token that is not renewed stays held',
    from: 'await logins.release(answer, nextLookAt);',
  },
  {
    name: 'the comparison with the due time is swapped',
    from: 'if (now < due) return due;',
    to: 'if (now > due) return due;',
  },
];

const LEASED_LOGINS: readonly Change[] = [
  {
    name: 'a waiter misses its wake-up',
    from: 'const timer = clock.setTimer(done, timeoutMs);',
    to: 'const timer = clock.setTimer(done, 1e6 * timeoutMs);',
  },
  {
    name: 'a login that has failed is joined for ever',
    from: 'result.then(end, end);',
    to: 'result.then(end, () => undefined);',
  },
  {
    name: 'a shutdown does not wait for running logins',
    from: 'await withTimeout(this.#options.clock, timeoutMs, Promise.allSettled(results));',
  },
  {
    name: 'a shutdown ends at the first login that fails',
    from: 'Promise.allSettled(results)',
    to: 'Promise.all(results)',
  },
  {
    name: 'one store budget for all turns of a waiter',
    from: 'while (clock.monotonic() < deadline) {\n      const answer = await this.acquire(request.id);',
    to:
      'const budget = new StoreTimeout(clock, STORE_WAIT_MS);\n    while (clock.monotonic() < deadline) {\n' +
      '      const answer = (await budget.wait(this.acquire(request.id))) ?? asUnavailable(new BrokerError("store_unavailable"));',
  },
];

const READS: readonly Change[] = [
  {
    name: 'an error of the store counts as an absence',
    from: 'return { entry: cache.tokens.find(id), sessionsEndedAt:',
    to: 'cache.tokens.remove(id);\n      return { entry: undefined, sessionsEndedAt:',
  },
  {
    name: 'a read falls back on a token until its end instead of its margin',
    from: 'const until = servableUntil(entry);',
    to: 'const until = entry.expiresAt;',
  },
  {
    name: 'a read waits for a renewal until its token may not be served any more',
    from: 'until - clock.now() - FALL_BACK_MS',
    to: 'RENEWAL_WAIT_MS',
  },
  {
    name: 'the comparison with the refused token is swapped',
    from: 'entry.etag === request.refused',
    to: 'entry.etag !== request.refused',
  },
  {
    name: 'the token of another login is read when an app asks, which may be during an outage',
    from: 'if (!readsReplaced) void readReplaced();',
  },
];

const CACHE: readonly Change[] = [
  {
    name: 'announcements are trusted without the heartbeat',
    from: 'checkedAt >= (this.#options.announcements.completeSince() ?? Number.POSITIVE_INFINITY);',
    to: 'true;',
  },
  {
    name: 'the announcement of a logout is ignored',
    from: 'this.loggedOut(announcement.id, announcement.generation);',
  },
  {
    name: 'an erasure leaves the tokens in memory',
    from: 'this.tokens.remove(account, generation);',
  },
  {
    name: 'a kick-out leaves what the replica believes of the sessions',
    from: 'this.#options.sessions.forget(accountOf(id));',
  },
  {
    name: 'the logout of an account leaves the tokens in memory and their sessions',
    from: 'this.loggedOut(announcement.account, announcement.generation);',
  },
  {
    name: 'a stale token stays fresh after its successor was announced',
    from: 'this.tokens.invalidate(announcement.id, announcement.generation);',
  },
];

const WRITE_BACK: readonly Change[] = [
  {
    name: 'a store that went back in time counts as the same',
    from: "if (history !== 'same')",
    to: "if (history === 'lost')",
  },
  {
    name: 'lost logouts and erasures are not repeated',
    from: 'yield* cache.removals();',
  },
  {
    name: 'a write-back that has failed is forgotten',
    from: 'this.#remember(missing);\n      return false;',
    to: 'return false;',
  },
  {
    name: 'a shutdown does not wait for the write-back',
    from: 'while (this.#isMissing() && clock.monotonic() < until)',
    to: 'while (this.#isMissing() && clock.monotonic() > until)',
  },
];

const LEASES: readonly Change[] = [
  { name: 'leases are not extended', from: 'void extendAll();' },
  { name: 'the heartbeat of the leases goes on without a lease', from: 'heartbeat?.cancel();' },
];

const VENDOR_EXCHANGE: readonly Change[] = [
  {
    name: "the difference of the vendor's clock is forgotten for the end of a token",
    from: 'readToken(data, sentAt, offsetMs ?? knownOffsetMs)',
    to: 'readToken(data, sentAt, 0)',
  },
];

const SESSION_CACHE: readonly Change[] = [
  {
    name: 'the answer about a session counts although the session was ended meanwhile',
    from: 'while (this.#isForgotten(accountId(principal.unionId), asOf)) {',
    to: 'while (false) {',
  },
  {
    name: 'a session is believed although announcements were missed',
    from: ' && checkedAt >= completeSince',
  },
];

const ACCESS_IDS: readonly Change[] = [
  {
    name: 'an accessId is not looked for under the lease',
    from: 'const known = await accounts.identify(unionId);\n    if (known) {',
    to: 'const known = await accounts.identify(unionId);\n    if (known && !request.region) {',
  },
];

const OTHERS: readonly Mistake[] = [
  {
    name: 'an older token replaces a newer one in memory',
    file: 'src/broker/cached-tokens.ts',
    from: 'if (former.generation > token.generation) return former;',
    to: 'if (former.generation < token.generation) return former;',
  },
  {
    name: 'a suspect token is not due',
    file: 'src/token/renewal-timing.ts',
    from: 'if (suspect) return token.issuedAt;',
  },
  {
    name: 'a replica that stood still takes that for a failure of the store',
    file: 'src/token/clock.ts',
    from: 'TIMEOUT_PARTS = 4;',
    to: 'TIMEOUT_PARTS = 1;',
  },
  {
    // The clock of the simulation stands in for that of src/token/clock.ts.
    name: 'freshness and all durations are measured by the wall clock',
    file: 'test/simulation/virtual-time.ts',
    from: 'monotonic: () => this.#now - START_MS,',
    to: 'monotonic: () => this.#now - START_MS + process.clockOffsetMs,',
  },
];

function inFile(file: string, changes: readonly Change[]): Mistake[] {
  return changes.map((change) => ({ ...change, file }));
}

function inScript(name: string, changes: readonly Change[]): Mistake[] {
  return inFile(`src/store/redis/scripts/${name}.lua`, changes);
}

/** The simulation must find each of them within 2 minutes. */
export const MISTAKES: readonly Mistake[] = [
  ...inScript('save', SAVE),
  ...inScript('prelude', PRELUDE),
  ...inScript('remove', REMOVE),
  ...inScript('acquire', ACQUIRE),
  ...inScript('endSessions', [
    { name: 'an erasure leaves the stored tokens', from: "redis.call('HDEL', KEYS[1], terminal)" },
    { name: 'the logout of an account forgets the account', from: "kind == 'erased'", to: 'true' },
    { name: 'an erasure leaves the due times', from: "redis.call('ZREM', KEYS[2], account .. terminal)" },
  ]),
  ...inScript('extend', [
    { name: 'an extended lease ends as before', from: "redis.call('PEXPIRE', KEYS[at], duration)" },
  ]),
  ...inScript('markRead', [
    {
      name: 'a token that an app has read stays unread',
      from: "redis.call('HSET', KEYS[1], terminal, flagged(record, 2))",
    },
    {
      name: 'the first read of a token does not move its due time',
      from: "redis.call('ZADD', KEYS[2], 'XX', 'LT', now + dueIn, id)",
    },
  ]),
  ...inScript('saveAccessId', [
    {
      name: 'an accessId is stored without the erasure check',
      from: "if timeIn(KEYS[2], FIELD_ERASED_AT) > tonumber(generation) then return {'outdated'} end",
    },
  ]),
  ...inFile('src/broker/login.ts', LOGIN),
  ...inFile('src/broker/renewal.ts', RENEWAL),
  ...inFile('src/broker/token-broker.ts', READS),
  ...inFile('src/broker/token-cache.ts', CACHE),
  ...inFile('src/broker/write-back.ts', WRITE_BACK),
  ...inFile('src/broker/leased-logins.ts', LEASED_LOGINS),
  ...inFile('src/broker/held-leases.ts', LEASES),
  ...inFile('src/broker/access-ids.ts', ACCESS_IDS),
  ...inFile('src/session/session-cache.ts', SESSION_CACHE),
  ...inFile('src/vendor-api/exchange.ts', VENDOR_EXCHANGE),
  ...OTHERS,
];

/** The text of the file with the mistake. @throws Error if the text of the mistake does not occur once in it */
export function withMistake({ name, file, from, to = '' }: Mistake, text: string): string {
  const parts = text.split(from);
  if (parts.length === 2) return parts.join(to);
  throw new Error(`"${name}": ${file} contains this text ${parts.length - 1} times instead of once: ${from}`);
}

/** Where the results of the latest run are. */
export const RESULTS_FILE = new URL('mistake-results.json', import.meta.url);

export function readResults(): MistakeResults {
  return JSON.parse(readFileSync(RESULTS_FILE, 'utf8'));
}
