import { accessIdTerminal } from '../../src/broker/access-ids.ts';
import { sleep } from '../../src/token/clock.ts';
import { BrokerError } from '../../src/token/errors.ts';
import { loginBudget } from '../../src/token/login-queue.ts';
import { refreshAt, servableUntil } from '../../src/token/renewal-timing.ts';
import type { ServedToken, TokenRecord } from '../../src/token/sdk-token.ts';
import { type AccountId, accountId, type Subject, type SubjectId, subjectId } from '../../src/token/subject.ts';
import { POLICY, Replica } from './replica.ts';
import type { FaultName, Scenario } from './scenario.ts';
import { StoreServer } from './store-network.ts';
import { VendorModel } from './vendor-model.ts';
import { VirtualTime } from './virtual-time.ts';

/** A broken invariant. */
export interface Violation {
  readonly invariant: string;
  /** Time since the start of the run. */
  readonly atMs: number;
  readonly what: string;
}

export interface ScheduleResult {
  readonly violations: readonly Violation[];
  readonly steps: number;
  readonly reads: number;
  readonly failedReads: number;
  readonly logins: number;
  /** All events, one line for each. */
  readonly trace: readonly string[];
}

/** How long after a fault its consequences are excused: leases, cool-downs and retries take that long to settle. */
const SETTLE_MS = 20_000;
/** Accounts without a phone. */
const GUESTS = 4;
/** Published bound: how long a logout or a newer token may be unknown to a replica that misses announcements. */
const STALE_MS = 60_000;
/** The same while the replica knows of no gap: a gap is noticed after 3 s, and an entry stays fresh for 2 s. */
const ANNOUNCED_MS = 6_000;
/** Commands that were sent before a replica stopped get their answer or their timeout in this time. */
const LEFTOVER_MS = 500;
const MAX_VIOLATIONS = 20;

/** Runs one schedule. The seed decides everything, so the same arguments give the same result. */
export async function runSchedule(scenario: Scenario, seed: number): Promise<ScheduleResult> {
  return new Schedule(scenario, new VirtualTime(seed)).run();
}

interface Client {
  readonly subject: Subject;
  readonly id: SubjectId;
  readonly terminal: string;
  sessionIssuedAt: number;
  held: ServedToken | undefined;
}

/** The newest token of a subject that the store has announced. */
interface Newest {
  readonly generation: number;
  readonly since: number;
  /** The replicas that were cut off from the store at that time. */
  readonly missedBy: ReadonlySet<Replica>;
}

/** A map by terminal for each replica. */
class TerminalMaps<T> {
  readonly #maps = new WeakMap<Replica, Map<string, T>>();

  of(replica: Replica): Map<string, T> {
    const map = this.#maps.get(replica) ?? new Map<string, T>();
    this.#maps.set(replica, map);
    return map;
  }
}

class Schedule {
  readonly #scenario: Scenario;
  readonly #time: VirtualTime;
  readonly #server: StoreServer;
  readonly #vendor: VendorModel;
  #replicas: Replica[] = [];
  #born = 0;
  readonly #violations: Violation[] = [];
  readonly #trace: string[] = [];
  readonly #reads = new Set<{ readonly since: number; readonly replica: Replica; readonly client: Client }>();
  /** The running requests for accessIds. */
  readonly #obtaining = new Set<{ readonly terminal: string; readonly since: number; readonly replica: Replica }>();
  #readCount = 0;
  #failedReads = 0;
  /** When the last fault of the network, a replica or the store ended, and of the vendor. */
  #troubleAt = Number.NEGATIVE_INFINITY;
  #vendorTroubleAt = Number.NEGATIVE_INFINITY;
  readonly #newest = new Map<SubjectId, Newest>();
  readonly #loggedOut = new Map<SubjectId, { readonly generation: number; readonly at: number }>();
  readonly #erased = new Map<AccountId, { readonly instant: number; readonly at: number }>();
  /** The generation of each logout and each erasure, as the store announced it. */
  readonly #removed = new Map<SubjectId, { readonly generation: number; readonly at: number }>();
  readonly #erasures = new Map<AccountId, number>();
  /** By replica and terminal: the last token that was served, and when the last attempt of a login started. */
  readonly #servedBy = new TerminalMaps<TokenRecord>();
  readonly #loginAt = new TerminalMaps<number>();
  /** When something last made a token of an account useless: a logout, an erasure or a refusal. By `unionId`. */
  readonly #uselessAt = new Map<string, number>();
  /** When the last login of a terminal began, on any replica. */
  readonly #lastLoginAt = new Map<string, number>();
  /** When the store last came back without its data. */
  #lostDataAt = Number.NEGATIVE_INFINITY;
  #checkedRequests = 0;
  #open = true;
  #injectsFaults = true;

  constructor(scenario: Scenario, time: VirtualTime) {
    this.#scenario = scenario;
    this.#time = time;
    const { random } = time;
    this.#server = new StoreServer(this.#time);
    this.#vendor = new VendorModel(this.#time, {
      mode: scenario.vendorMode,
      lifetimeMs: scenario.tokenLifeMs,
      latencyMs: () => scenario.vendorLatencyMs(random),
      clockOffsetMs: scenario.vendorOffsetMs,
    });
  }

  async run(): Promise<ScheduleResult> {
    const { replicas, subjects, minutes } = this.#scenario;
    const clients = Array.from({ length: subjects }, (_, number) => this.#newClient(number));
    this.#server.subscribe((announcement) => {
      void this.#checkCounts(clients);
      if (announcement.kind === 'saved') this.#onSaved(announcement.id, announcement.generation);
      if (announcement.kind === 'removed') this.#removed.set(announcement.id, { ...announcement, at: this.#time.now });
      if (announcement.kind === 'erased') this.#erasures.set(announcement.account, announcement.generation);
    });
    for (let number = 0; number < replicas; number += 1) this.#startReplica();
    for (const client of clients) this.#readAgainLater(client, 2_000);
    this.#injectFaults(clients);
    await this.#time.run(minutes * 60_000, () => this.#checkStep());
    await this.#settle(clients);
    return {
      violations: this.#violations,
      steps: this.#time.steps,
      reads: this.#readCount,
      failedReads: this.#failedReads,
      logins: [...this.#vendor.logins.values()].reduce((sum, count) => sum + count, 0),
      trace: this.#trace,
    };
  }

  // --- the world

  #startReplica(): void {
    const { random } = this.#time;
    const { skewMs, vendorTimeoutMs, maxLoginsPerSecond, lossRate, announcementLossRate } = this.#scenario;
    const replica = new Replica({
      name: `replica-${this.#born++}`,
      time: this.#time,
      server: this.#server,
      vendor: this.#vendor,
      network: {
        lossRate,
        announcementLossRate,
        delayMs: () => 0.2 + random() * 1.5,
        onLoss: () => this.#trouble(),
      },
      skewMs: Math.round((random() * 2 - 1) * skewMs),
      vendorTimeoutMs,
      maxLoginsPerSecond,
      onLogin: (terminal, by) => this.#onLogin(terminal, by),
      onEndedUnrenewed: () => this.#onEndedUnrenewed(),
      onLog: (name, message) => this.#note(`${name} logs: ${message}`),
    });
    this.#replicas.push(replica);
  }

  #newClient(number: number): Client {
    // Two terminals per account.
    const subject = { app: 'default', unionId: `account-${number >> 1}`, uniqueId: `phone-${number}` };
    return {
      subject,
      id: subjectId(subject),
      terminal: `${subject.unionId}/${subject.uniqueId}`,
      sessionIssuedAt: this.#time.now,
      held: undefined,
    };
  }

  #readAgainLater(client: Client, withinMs = this.#scenario.readEveryMs * 2): void {
    const read = (): void => {
      if (!this.#open) return;
      const replica = this.#pick();
      if (replica) void this.#read(client, replica);
      this.#readAgainLater(client);
    };
    this.#time.after(this.#time.random() * withinMs, read);
  }

  async #read(client: Client, replica: Replica, refused?: string): Promise<void> {
    const { subject, id, sessionIssuedAt } = client;
    const since = this.#time.now;
    const read = { since, replica, client };
    this.#reads.add(read);
    this.#readCount += 1;
    const known = { newest: this.#newest.get(id), loggedOut: this.#loggedOut.get(id) };
    const erased = this.#erased.get(accountId(subject.unionId));
    try {
      const served = await replica.broker.read({ subject, id, region: 'CN', sessionIssuedAt, refused });
      if (!replica.process.alive) return;
      client.held = served;
      this.#servedBy.of(replica).set(client.terminal, served.record);
      this.#checkServed(client, replica, served, since, refused, known.newest);
      const { generation } = served.record;
      const bound = this.#announcedMs(replica, since);
      if (known.loggedOut && generation <= known.loggedOut.generation && since - known.loggedOut.at > bound) {
        this.#fail('a logout ends the token on every replica within its bound', client.terminal);
      }
      if (erased && sessionIssuedAt <= erased.instant && since - erased.at > bound) {
        this.#fail('an erasure ends older sessions on every replica within its bound', client.terminal);
      }
    } catch (error) {
      if (replica.process.alive) this.#onFailedRead(client, replica, error, since);
    } finally {
      this.#reads.delete(read);
    }
  }

  #onFailedRead(client: Client, replica: Replica, error: unknown, since: number): void {
    const erasedAt = this.#erasures.get(accountId(client.subject.unionId));
    const tookMs = Math.round(this.#time.now - since);
    if (!(error instanceof BrokerError)) {
      this.#fail('every failure is a BrokerError', String(error));
      return;
    }
    this.#failedReads += 1;
    // The store was there and had no token. So the token that this replica served before is gone, for any reason.
    if (replica.connection.isConnected) this.#servedBy.of(replica).delete(client.terminal);
    this.#note(`read of ${client.terminal} by ${replica.name} failed after ${tookMs} ms: ${error.code}`);
    if (error.code === 'session_invalid' && erasedAt !== undefined) {
      client.sessionIssuedAt = Math.max(this.#time.now, erasedAt) + 1;
      return;
    }
    // A logout or erasure that overtakes a login ends it.
    const loggedOutAt = Math.max(
      this.#removed.get(client.id)?.at ?? Number.NEGATIVE_INFINITY,
      this.#erased.get(accountId(client.subject.unionId))?.at ?? Number.NEGATIVE_INFINITY,
    );
    const isExcused = error.code === 'session_forbidden' && this.#time.now - loggedOutAt < SETTLE_MS;
    if (isExcused || error.code === 'rate_limited') return;
    if (this.#isQuiet(SETTLE_MS) && this.#isVendorQuiet(2 * SETTLE_MS)) {
      this.#fail('no read fails while nothing is broken', `${client.terminal}: ${error.code} after ${tookMs} ms`);
    }
  }

  // --- invariants

  #checkServed(
    { terminal }: Client,
    replica: Replica,
    { record, etag }: ServedToken,
    since: number,
    refused: string | undefined,
    newest: Newest | undefined,
  ): void {
    const { clock, name } = replica;
    const pastMs = clock.now() - servableUntil(record.token);
    if (pastMs >= 0) this.#fail('no token is served past its margin', `${terminal} by ${name}, ${pastMs} ms past`);
    if (etag === refused) this.#fail('a refused token is not served to its reporter again', terminal);
    // While the store does not answer, a replica serves what it knows.
    const mayKnow = since - this.#troubleAt > SETTLE_MS || !newest?.missedBy.has(replica);
    const isOlder = newest && record.generation < newest.generation;
    if (isOlder && mayKnow && since - newest.since > this.#announcedMs(replica, since)) {
      this.#fail('no token is served after a newer one was announced', `${terminal} by ${name}`);
    }
    if (this.#time.now - since > this.#maxReadMs) {
      this.#fail('each read ends within its bound', `${terminal} took ${Math.round(this.#time.now - since)} ms`);
    }
  }

  #onLogin(terminal: string, replica: Replica): void {
    this.#note(`${replica.name} logs in for ${terminal}`);
    if (this.#isNeedless(terminal, replica))
      this.#fail('an outage of the store causes no login for a token that is not due', terminal);
    this.#loginAt.of(replica).set(terminal, this.#time.now);
    this.#lastLoginAt.set(terminal, this.#time.now);
    const [unionId = ''] = terminal.split('/');
    if (unionId.startsWith('guest-')) void this.#checkGuestLogin(unionId);
    const count = this.#vendor.inFlight(terminal);
    if (count > 1 && this.#isQuiet(SETTLE_MS) && this.#isVendorQuiet(SETTLE_MS)) {
      this.#fail('one login per subject at a time', `${terminal}: ${count} logins in flight`);
    }
  }

  /** Nothing has replaced a token that an app had read, and it has ended. */
  #onEndedUnrenewed(): void {
    const wellMs = this.#scenario.tokenLifeMs + SETTLE_MS;
    if (!this.#isQuiet(wellMs) || !this.#isVendorQuiet(wellMs)) return;
    this.#fail('a token that an app has read since its last renewal is renewed before it ends', '');
  }

  /** A login during an outage of the store, although the replica has served a token that is not due yet. */
  #isNeedless(terminal: string, replica: Replica): boolean {
    const record = this.#servedBy.of(replica).get(terminal);
    const isRetry = this.#time.now - (this.#loginAt.of(replica).get(terminal) ?? 0) < this.#loginBudgetMs;
    if (!record || isRetry || replica.connection.isConnected) return false;
    // A login that was running when the store came back empty: its token refuses the older one of the others.
    const lastLoginAt = this.#lastLoginAt.get(terminal) ?? Number.NEGATIVE_INFINITY;
    if (record.token.issuedAt < this.#lostDataAt && lastLoginAt > this.#lostDataAt - this.#loginBudgetMs) return false;
    const uselessAt = this.#uselessAt.get(terminal.split('/')[0] ?? '') ?? Number.NEGATIVE_INFINITY;
    return replica.clock.now() < refreshAt(record, POLICY) && uselessAt < record.token.issuedAt - 10_000;
  }

  #onSaved(id: SubjectId, generation: number): void {
    const before = this.#newest.get(id);
    if (before && generation < before.generation) this.#fail('the stored generation never goes back', id);
    const logout = this.#loggedOut.get(id);
    if (logout && generation <= logout.generation) this.#fail('no write undoes a logout', id);
    const missedBy = new Set(this.#replicas.filter(({ connection }) => !connection.isConnected));
    this.#newest.set(id, { generation, since: this.#time.now, missedBy });
  }

  #checkStep(): void {
    const { maxLoginsPerSecond } = this.#scenario;
    const requests = this.#vendor.requestsAt;
    for (; this.#checkedRequests < requests.length; this.#checkedRequests += 1) {
      const at = requests[this.#checkedRequests] ?? 0;
      let inSecond = 0;
      for (let index = this.#checkedRequests; index >= 0 && (requests[index] ?? 0) > at - 1_000; index -= 1)
        inSecond += 1;
      const most = maxLoginsPerSecond * 1.1 + 2;
      if (inSecond > most && this.#isQuiet(SETTLE_MS))
        this.#fail('the vendor gets no more logins than the budget', `${inSecond}`);
    }
    if (this.#violations.length >= MAX_VIOLATIONS) this.#open = false;
  }

  /** Ends all faults, waits until everything has settled, and checks what must hold then. */
  async #settle(clients: readonly Client[]): Promise<void> {
    this.#open = false;
    this.#injectsFaults = false;
    this.#server.isUp = true;
    this.#vendor.mood = 'well';
    for (const { process, connection } of this.#replicas) {
      process.frozenUntil = 0;
      connection.isCut = false;
    }
    this.#trouble();
    await this.#time.run(2 * SETTLE_MS, () => this.#checkStep());
    for (const { since, replica, client } of this.#reads) {
      if (replica.process.alive) this.#fail('each read ends', `${client.terminal} since ${Math.round(since)}`);
    }
    for (const { terminal, since, replica } of this.#obtaining) {
      if (replica.process.alive) this.#fail('each request for an accessId ends', `${terminal} since ${since}`);
    }
    for (const client of clients) {
      client.sessionIssuedAt = this.#time.now + 10_000;
      client.held = undefined;
    }
    // An open circuit breaker lets one trial attempt through and refuses the others, so the apps try a second time.
    this.#vendorTroubleAt = this.#time.now;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      for (const client of clients) {
        const replica = this.#pick();
        if (replica && !client.held) void this.#read(client, replica);
      }
      await this.#time.run(this.#maxReadMs, () => this.#checkStep());
    }
    for (const { terminal, held, id } of clients) {
      if (!held) this.#fail('every subject has a token once all is well', terminal);
      const accessToken = held?.record.token.fields['accessToken'] ?? '';
      if (
        held &&
        this.#newest.get(id)?.generation === held.record.generation &&
        !this.#vendor.accepts(terminal, accessToken)
      ) {
        this.#fail('what is stored is what the vendor accepts', terminal);
      }
    }
    await this.#checkCounts(clients);
    await this.#stopAll(clients);
  }

  /** Stops every replica as SIGTERM does, and checks that nothing of them is left. */
  async #stopAll(clients: readonly Client[]): Promise<void> {
    const replicas = this.#replicas.filter(({ process }) => process.alive);
    let isChecked = false;
    const check = async (): Promise<void> => {
      isChecked = true;
      for (const { name, process } of replicas) {
        const left = this.#time.pendingOf(process);
        if (left > 0) this.#fail('a replica that has stopped leaves no timer and no waiter', `${left} of ${name}`);
      }
      // If the message that releases a lease is lost, the lease ends by itself.
      if (this.#scenario.lossRate > 0) return;
      const leased = await this.#server.leased(clients.map(({ id }) => id));
      if (leased.length > 0) this.#fail('replicas that have stopped hold no lease', `${leased.length} leases`);
    };
    void Promise.all(replicas.map((replica) => replica.stop(Promise.resolve()))).then(() =>
      this.#time.after(LEFTOVER_MS, check),
    );
    await this.#time.run(this.#maxReadMs, () => undefined);
    if (!isChecked) this.#fail('each replica stops', `${replicas.length} replicas`);
  }

  /** Compares the due times in the store with its tokens. Called after each change, so one difference cannot hide another. */
  async #checkCounts(clients: readonly Client[]): Promise<void> {
    const { scheduled, stored } = await this.#server.count(clients.map(({ id }) => id));
    if (scheduled === stored) return;
    this.#fail('each token has a due time, and each due time a token', `${stored} tokens, ${scheduled} due times`);
  }

  // --- faults

  #injectFaults(clients: readonly Client[]): void {
    const { replicas, perMinute } = this.#scenario;
    const { random } = this.#time;
    const faults: Record<FaultName, { readonly times: number; readonly start: () => void }> = {
      partition: { times: replicas, start: () => this.#partition(200 + random() * 9_000) },
      crash: { times: replicas, start: () => this.#crash(500 + random() * 5_000) },
      restart: { times: replicas, start: () => void this.#restart() },
      freeze: { times: replicas, start: () => this.#freeze(300 + random() * 12_000) },
      storeOutage: { times: 1, start: () => this.#storeOutage(200 + random() * 10_000, false) },
      storeEmpty: { times: 1, start: () => this.#storeOutage(200 + random() * 4_000, true) },
      vendorTrouble: { times: 1, start: () => this.#vendorTrouble(1_000 + random() * 20_000) },
      logout: { times: 1, start: () => void this.#logOut(this.#pickOf(clients)) },
      erasure: { times: 1, start: () => void this.#erase(this.#pickOf(clients)) },
      refusal: { times: 1, start: () => this.#reportRefused(this.#pickOf(clients)) },
      sharing: { times: 1, start: () => this.#share() },
    };
    for (const [name, { times, start }] of Object.entries(faults)) {
      const rate = perMinute[name as FaultName] * times;
      const next = (): void => {
        const waitMs = (-Math.log(1 - random()) * 60_000) / rate;
        this.#time.after(waitMs, () => {
          if (!this.#injectsFaults) return;
          start();
          next();
        });
      };
      if (rate > 0) next();
    }
  }

  /** Notes trouble now and until `ms` from now. */
  #trouble(ms = 0): void {
    this.#troubleAt = Math.max(this.#troubleAt, this.#time.now + ms);
  }

  #partition(ms: number): void {
    const replica = this.#pick();
    if (!replica) return;
    replica.connection.isCut = true;
    this.#trouble(ms);
    this.#note(`${replica.name} is cut off from the store for ${Math.round(ms)} ms`);
    this.#time.after(ms, () => {
      replica.connection.isCut = false;
    });
  }

  #crash(restartMs: number): void {
    const replica = this.#pick();
    if (!replica || this.#alive().length < 2) return;
    replica.crash();
    this.#trouble();
    this.#note(`${replica.name} crashes`);
    this.#time.after(restartMs, () => {
      this.#replicas = this.#replicas.filter((other) => other !== replica);
      if (this.#open) this.#startReplica();
    });
  }

  /** Replaces a replica as a rolling update does. This is no trouble: no read may fail, and no login may be repeated. */
  async #restart(): Promise<void> {
    const replica = this.#pick();
    if (!replica) return;
    this.#note(`${replica.name} is replaced`);
    this.#startReplica();
    this.#replicas = this.#replicas.filter((other) => other !== replica);
    await replica.stop(this.#readsOf(replica));
    replica.process.alive = false;
  }

  /** Resolves when the replica has answered all its reads. */
  async #readsOf(replica: Replica): Promise<void> {
    while ([...this.#reads].some((read) => read.replica === replica)) await sleep(replica.clock, 50);
  }

  #freeze(ms: number): void {
    const replica = this.#pick();
    if (!replica || this.#alive().length < 2) return;
    replica.process.frozenUntil = this.#time.now + ms;
    this.#trouble(ms);
    this.#note(`${replica.name} freezes for ${Math.round(ms)} ms`);
  }

  #storeOutage(ms: number, losesData: boolean): void {
    if (!this.#server.isUp) return;
    this.#server.isUp = false;
    this.#trouble(ms);
    this.#note(`the store is down for ${Math.round(ms)} ms${losesData ? ' and loses its data' : ''}`);
    this.#time.after(ms, () => {
      if (losesData) {
        this.#server.restartEmpty();
        this.#lostDataAt = this.#time.now;
        this.#newest.clear();
        this.#loggedOut.clear();
      }
      this.#server.isUp = true;
    });
  }

  #vendorTrouble(ms: number): void {
    const { vendorMoods } = this.#scenario;
    this.#vendor.mood = vendorMoods[Math.floor(this.#time.random() * vendorMoods.length)] ?? 'http_error';
    this.#vendorTroubleAt = this.#time.now + ms;
    this.#note(`the vendor is in trouble for ${Math.round(ms)} ms: ${this.#vendor.mood}`);
    this.#time.after(ms, () => {
      this.#vendor.mood = 'well';
    });
  }

  async #logOut({ subject, id, terminal, sessionIssuedAt }: Client): Promise<void> {
    const replica = this.#pick();
    if (!replica) return;
    this.#uselessAt.set(subject.unionId, this.#time.now);
    try {
      await replica.accounts.logOut(subject, { sessionIssuedAt });
      const generation = this.#removed.get(id)?.generation ?? 0;
      this.#loggedOut.set(id, { generation, at: this.#time.now });
      this.#note(`${terminal} is logged out`);
    } catch {
      this.#note(`the logout of ${terminal} failed`);
    }
  }

  async #erase({ subject }: Client): Promise<void> {
    const replica = this.#pick();
    if (!replica) return;
    this.#uselessAt.set(subject.unionId, this.#time.now);
    try {
      await replica.accounts.erase(subject.unionId);
      const account = accountId(subject.unionId);
      this.#erased.set(account, { instant: this.#erasures.get(account) ?? 0, at: this.#time.now });
      this.#note(`${subject.unionId} is erased`);
    } catch {
      this.#note(`the erasure of ${subject.unionId} failed`);
    }
  }

  #reportRefused(client: Client): void {
    const replica = this.#pick();
    this.#uselessAt.set(client.subject.unionId, this.#time.now);
    if (replica && client.held) void this.#read(client, replica, client.held.etag);
  }

  /** Asks two replicas at once for the accessId of a guest: an account without a phone. Sometimes erases the guest. */
  #share(): void {
    const { random } = this.#time;
    const unionId = `guest-${Math.floor(random() * GUESTS)}`;
    const [one, other] = [this.#pick(), this.#pick()];
    if (random() < 0.2) void one?.accounts.erase(unionId).catch(() => undefined);
    for (const replica of [one, other]) if (replica) void this.#obtain(unionId, replica);
  }

  async #obtain(unionId: string, replica: Replica): Promise<void> {
    const since = this.#time.now;
    const terminal = `${unionId}/${accessIdTerminal(unionId)}`;
    const obtaining = { terminal, since, replica };
    this.#obtaining.add(obtaining);
    try {
      const subject = { app: 'default', unionId, uniqueId: accessIdTerminal(unionId) };
      const { accessId } = await replica.accessIds.obtain(subject, 'CN');
      if (!replica.process.alive) return;
      const isErased = (this.#erasures.get(accountId(unionId)) ?? 0) >= since;
      const found = await this.#server.data.accounts.lookUp([accessId]);
      if (!isErased && this.#lostDataAt < since && found.get(accessId) !== unionId) {
        this.#fail('an accessId that was handed out can be looked up', terminal);
      }
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : String(error);
      this.#note(`${replica.name} obtained no accessId for ${unionId}: ${code}`);
      if (!(error instanceof BrokerError)) this.#fail('every failure is a BrokerError', code);
      const isErased = (this.#erasures.get(accountId(unionId)) ?? 0) >= since - this.#announcedMs(replica, since);
      if (replica.process.alive && !isErased && this.#isQuiet(SETTLE_MS) && this.#isVendorQuiet(2 * SETTLE_MS)) {
        this.#fail('an accessId is obtained while nothing is broken', `${terminal}: ${code}`);
      }
    } finally {
      this.#obtaining.delete(obtaining);
    }
  }

  /** A guest that has an accessId needs no login. */
  async #checkGuestLogin(unionId: string): Promise<void> {
    const known = await this.#server.data.accounts.find(unionId);
    if (known && this.#isQuiet(SETTLE_MS)) this.#fail('an account with an accessId causes no login for it', unionId);
  }

  // --- small things

  #alive(): Replica[] {
    return this.#replicas.filter(({ process }) => process.alive && process.frozenUntil <= this.#time.now);
  }

  #pick(): Replica | undefined {
    const alive = this.#alive();
    return alive[Math.floor(this.#time.random() * alive.length)];
  }

  #pickOf(clients: readonly Client[]): Client {
    return clients[Math.floor(this.#time.random() * clients.length)] as Client;
  }

  /** How long a replica may serve a read of `since` without a change that was announced. */
  #announcedMs({ connection, clock }: Replica, since: number): number {
    const completeForMs = clock.now() - (connection.store.announcements.completeSince() ?? clock.now());
    // A token of a login without a lease is fresh for 2 s.
    const hearsAll = connection.isConnected && completeForMs > 3_000 && this.#scenario.announcementLossRate === 0;
    // A replica that hears of a newer token still has to ask for it. A short gap refuses that for 0.5 s.
    const isAnswered = connection.unansweredAt < since;
    return hearsAll && isAnswered ? ANNOUNCED_MS : STALE_MS;
  }

  get #loginBudgetMs(): number {
    return loginBudget(this.#scenario.vendorTimeoutMs);
  }

  /** Longest read: the login of another replica, its lease after its death, and an own login. */
  get #maxReadMs(): number {
    return 2 * this.#loginBudgetMs + 6_000;
  }

  #isQuiet(ms: number): boolean {
    return this.#time.now - this.#troubleAt > ms;
  }

  #isVendorQuiet(ms: number): boolean {
    return this.#time.now - this.#vendorTroubleAt > ms;
  }

  #note(line: string): void {
    this.#trace.push(`${((this.#time.now - this.#time.startedAt) / 1_000).toFixed(3)} s  ${line}`);
  }

  #fail(invariant: string, what: string): void {
    this.#note(`VIOLATION: ${invariant}: ${what}`);
    this.#violations.push({ invariant, atMs: this.#time.now - this.#time.startedAt, what });
  }
}
