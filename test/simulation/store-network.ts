import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { CommandBreaker } from '../../src/store/redis/connection/commands.ts';
import { type Clock, raceTimeout, type Timer } from '../../src/token/clock.ts';
import { BrokerError } from '../../src/token/errors.ts';
import type { Announcement, AnnouncementFeed, StoreHealth, TokenStore } from '../../src/token/ports.ts';
import type { SubjectId } from '../../src/token/subject.ts';
import type { VirtualProcess, VirtualTime } from './virtual-time.ts';

/** As the real connection has them: one command's timeout, the heartbeat of announcements, and the silence that ends trust. */
const COMMAND_TIMEOUT_MS = 180;
const HEARTBEAT_MS = 1_000;
const GAP_MS = 1.9 * HEARTBEAT_MS;
const SILENCE_MS = 3_000;
const TERMINALS_PER_ACCOUNT = 20;
const FAR_AHEAD_MS = 1e12;

type Data = Omit<TokenStore, 'announcements' | 'health' | 'close'>;
type Listener = (announcement: Announcement) => void;

/** The store's server: the in-memory store, which can stop, and come back with its data or without. */
export class StoreServer {
  readonly #time: VirtualTime;
  readonly #clock: Clock;
  readonly #listeners: Listener[] = [];
  #aheadMs = 0;
  isUp = true;
  /** Changes when the data was lost. */
  epoch = 1;
  data: TokenStore;

  constructor(time: VirtualTime) {
    this.#time = time;
    // The server is no process of the broker: it never freezes.
    const clock = time.clockOf({ name: 'store', alive: true, frozenUntil: 0 });
    this.#clock = { ...clock, now: () => clock.now() + this.#aheadMs };
    this.data = this.#create();
  }

  now(): number {
    return this.#time.now;
  }

  /** Calls `listener` for each announcement at the moment the server publishes it. */
  subscribe(listener: Listener): void {
    this.#listeners.push(listener);
  }

  restartEmpty(): void {
    this.data = this.#create();
    this.epoch += 1;
    this.isUp = true;
  }

  /** How many subjects have a due time, and how many of `ids` have a token. */
  async count(ids: readonly SubjectId[]): Promise<{ readonly scheduled: number; readonly stored: number }> {
    const { terminals, dueQueue } = this.data;
    // Far in the future every due time is over, and a claim of no subject changes nothing. The in-memory store answers
    // with the state at the time of the call, so no event comes in between.
    this.#aheadMs = FAR_AHEAD_MS;
    const claim = dueQueue.claim(0, 0);
    this.#aheadMs = 0;
    const terminal = ids.map((id) => terminals.read(id));
    const { backlog } = await claim;
    const stored = (await Promise.all(terminal)).filter(({ record }) => record !== undefined);
    return { scheduled: backlog, stored: stored.length };
  }

  /** The subjects whose lease is held. Takes the other leases for a moment, so it is for the end of a run. */
  async leased(ids: readonly SubjectId[]): Promise<SubjectId[]> {
    const answers = await Promise.all(ids.map((id) => this.data.terminals.acquire(id, 1)));
    return ids.filter((_, index) => answers[index]?.kind === 'held');
  }

  #create(): TokenStore {
    const store = createMemoryStore({ clock: this.#clock, terminalsPerAccount: TERMINALS_PER_ACCOUNT });
    store.announcements.subscribe((announcement) => {
      for (const listener of this.#listeners) listener(announcement);
    });
    return store;
  }
}

export interface NetworkFaults {
  /** Probability that a request, or an answer after its effect, is lost. */
  readonly lossRate: number;
  /** Probability that an announcement is lost. */
  readonly announcementLossRate: number;
  /** One-way delay. */
  readonly delayMs: () => number;
  /** Called when a message was lost. */
  readonly onLoss: () => void;
}

/** One replica's connection to the store's server. */
export class StoreConnection {
  readonly store: TokenStore;
  /** Whether the network between replica and server is cut. */
  isCut = false;
  /** When a command last got no answer: it was lost, or the breaker refused it. Virtual time. */
  unansweredAt = Number.NEGATIVE_INFINITY;
  readonly #server: StoreServer;
  readonly #time: VirtualTime;
  readonly #process: VirtualProcess;
  readonly #clock: Clock;
  readonly #faults: NetworkFaults;
  readonly #breaker: CommandBreaker;
  readonly #listeners: Listener[] = [];
  readonly #returnListeners: ((lostData: boolean) => void)[] = [];
  #epoch: number;
  #wasAway = false;
  #heartbeat: Timer | undefined;
  #heardAt: number;
  #since: number | undefined;
  /** Whether an announcement was dropped because the connection was down. A real connection notices that it broke. */
  #missedAnnouncement = false;

  constructor(server: StoreServer, time: VirtualTime, process: VirtualProcess, clock: Clock, faults: NetworkFaults) {
    this.#server = server;
    this.#time = time;
    this.#process = process;
    this.#clock = clock;
    this.#faults = faults;
    this.#breaker = new CommandBreaker(clock);
    this.#epoch = server.epoch;
    this.#heardAt = clock.now();
    this.#since = clock.now();
    this.store = this.#createStore();
    server.subscribe((announcement) => this.#deliver(announcement));
    this.#beatLater();
  }

  get isConnected(): boolean {
    return this.#server.isUp && !this.isCut;
  }

  #createStore(): TokenStore {
    const call = <Part extends keyof Data, Name extends keyof Data[Part]>(part: Part, name: Name) =>
      ((...args: unknown[]) =>
        this.#roundTrip(() => {
          const target = this.#server.data[part];
          return Reflect.apply(target[name] as (...args: unknown[]) => Promise<unknown>, target, args);
        })) as never;
    // A due time travels as a span, so that the two clocks need not agree.
    const dueOnServer = (dueAt: number) => this.#server.now() + Math.max(1, Math.round(dueAt - this.#clock.now()));
    return {
      terminals: {
        read: call('terminals', 'read'),
        acquire: call('terminals', 'acquire'),
        extend: call('terminals', 'extend'),
        remove: call('terminals', 'remove'),
        saveAccessId: call('terminals', 'saveAccessId'),
        markRead: (id, generation, dueAt) =>
          this.#roundTrip(() => this.#server.data.terminals.markRead(id, generation, dueOnServer(dueAt))),
        save: (lease, record, dueAt) =>
          this.#roundTrip(() => this.#server.data.terminals.save(lease, record, dueOnServer(dueAt))),
        restore: (record, dueAt) =>
          this.#roundTrip(() => this.#server.data.terminals.restore(record, dueOnServer(dueAt))),
        release: (lease, dueAt, ...failure) =>
          this.#roundTrip(() =>
            this.#server.data.terminals.release(
              lease,
              dueAt === undefined ? undefined : dueOnServer(dueAt),
              ...failure,
            ),
          ),
      },
      accounts: {
        find: call('accounts', 'find'),
        historyOf: call('accounts', 'historyOf'),
        identify: call('accounts', 'identify'),
        lookUp: call('accounts', 'lookUp'),
        erase: call('accounts', 'erase'),
      },
      dueQueue: { claim: call('dueQueue', 'claim'), outlook: call('dueQueue', 'outlook') },
      rateLimiter: { take: call('rateLimiter', 'take'), giveBack: call('rateLimiter', 'giveBack') },
      loginQueue: {
        reserve: call('loginQueue', 'reserve'),
        nextPlaceInMs: call('loginQueue', 'nextPlaceInMs'),
      },
      announcements: this.#feed(),
      health: this.#health(),
      close: async () => this.#heartbeat?.cancel(),
    };
  }

  /** Sends a command. The effect and the answer can each be lost. @throws BrokerError `store_unavailable` */
  async #roundTrip<T>(command: () => Promise<T>): Promise<T> {
    if (!this.#breaker.admit()) throw this.#unanswered();
    const { delayMs } = this.#faults;
    const [losesRequest, losesAnswer] = [this.#loses(), this.#loses()];
    const exchange = new Promise<{ readonly value: T }>((resolve, reject) => {
      const execute = (): void => {
        if (!this.isConnected || losesRequest) return;
        command().then((value) => {
          const deliver = (): void => {
            if (this.isConnected && !losesAnswer) resolve({ value });
          };
          this.#time.after(delayMs(), deliver, this.#process);
        }, reject);
      };
      this.#time.after(delayMs(), execute);
    });
    const answer = await raceTimeout(this.#clock, COMMAND_TIMEOUT_MS, exchange);
    this.#breaker.settle(answer ? 'answered' : 'timeout');
    if (!answer) throw this.#unanswered();
    return answer.value;
  }

  #unanswered(): BrokerError {
    this.unansweredAt = this.#time.now;
    return new BrokerError('store_unavailable', { retryAfter: 1 });
  }

  #loses(): boolean {
    const lost = this.#time.random() < this.#faults.lossRate;
    if (lost) this.#faults.onLoss();
    return lost;
  }

  #feed(): AnnouncementFeed {
    return {
      subscribe: (listener) => void this.#listeners.push(listener),
      completeSince: () => (this.#clock.now() - this.#heardAt < SILENCE_MS ? this.#since : undefined),
    };
  }

  #health(): StoreHealth {
    return {
      ping: () => this.#roundTrip(async () => undefined),
      onReturn: (listener) => void this.#returnListeners.push(listener),
    };
  }

  #deliver(announcement: Announcement): void {
    if (!this.#process.alive) return;
    const deliver = (): void => {
      const lost = this.#time.random() < this.#faults.announcementLossRate;
      if (!this.isConnected) this.#missedAnnouncement = true;
      else if (!lost) for (const listener of this.#listeners) listener(announcement);
    };
    this.#time.after(this.#faults.delayMs(), deliver, this.#process);
  }

  #beatLater(): void {
    const beat = (): void => {
      this.#beat();
      this.#heartbeat = this.#time.after(HEARTBEAT_MS, beat, this.#process);
    };
    this.#heartbeat = this.#time.after(this.#time.random() * HEARTBEAT_MS, beat, this.#process);
  }

  #beat(): void {
    if (!this.isConnected) {
      this.#wasAway = true;
      return;
    }
    const now = this.#clock.now();
    if (this.#since === undefined || this.#missedAnnouncement || now - this.#heardAt >= GAP_MS) this.#since = now;
    this.#missedAnnouncement = false;
    this.#heardAt = now;
    const lostData = this.#epoch !== this.#server.epoch;
    if (!lostData && !this.#wasAway) return;
    this.#epoch = this.#server.epoch;
    this.#wasAway = false;
    for (const listener of this.#returnListeners) listener(lostData);
  }
}
