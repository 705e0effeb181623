import { CommandBreaker } from '../../src/store/redis/connection/commands.ts';
import { type Clock, type Timer, withTimeout } from '../../src/token/clock.ts';
import { BrokerError } from '../../src/token/errors.ts';
import type { Announcement, AnnouncementFeed, StoreHealth, StoreHistory, TokenStore } from '../../src/token/ports.ts';
import type { StoreCommand, StoreServer } from './store-server.ts';
import type { VirtualProcess, VirtualTime } from './virtual-time.ts';

/**
 * As the real connection has them: one command's timeout, the heartbeat of announcements, and the silence that ends
 * trust.
 */
const COMMAND_TIMEOUT_MS = 180;
const HEARTBEAT_MS = 1_000;
const GAP_MS = 1.9 * HEARTBEAT_MS;
const SILENCE_MS = 3_000;
/**
 * The commands that the server executes even if they arrive after the replica has given them up, as `FENCED` says.
 */
const COMMANDS_WITHOUT_DEADLINE: ReadonlySet<string> = new Set([
  'save',
  'restore',
  'drop',
  'saveAccessId',
  'release',
  'extend',
  'giveBack',
]);

/** Which argument of a command is a due time. */
const DUE_TIMES: Readonly<Record<string, number>> = { markRead: 2, save: 2, restore: 1, release: 1 };

type Listener = (announcement: Announcement) => void;

export interface Network {
  /** Probability that a request, or an answer after its effect, is lost. */
  readonly lossRate: number;
  /** Probability that an announcement is lost. */
  readonly announcementLossRate: number;
  /** One-way delay. */
  readonly delayMs: () => number;
  /** Called when a message was lost, or took so long that its command was given up. */
  readonly onLoss: () => void;
  /** Called when a command got no answer for a reason outside the process. */
  readonly onUnanswered: () => void;
  /** Called when the replica has been told of an announcement. */
  readonly onHeard: (announcement: Announcement) => void;
}

export interface StoreConnectionOptions {
  readonly server: StoreServer;
  readonly time: VirtualTime;
  readonly process: VirtualProcess;
  readonly clock: Clock;
  readonly network: Network;
}

/** One replica's connection to the store's server. */
export class StoreConnection {
  readonly store: TokenStore;
  readonly #options: StoreConnectionOptions;
  readonly #breaker: CommandBreaker;
  readonly #listeners: Listener[] = [];
  readonly #returnListeners: ((history: StoreHistory) => void)[] = [];
  #isCut = false;
  #isReady = false;
  #linkStalledUntil = 0;
  /** Whether the breaker is open although the answer had arrived, because the process stood still. */
  #isBreakerWrong = false;
  #epoch: number;
  #timesGoneBack: number;
  #wasAway = false;
  #heartbeat: Timer | undefined;
  #heardAt: number;
  /** What the last heartbeat showed of the server's clock, and when that was by the monotonic clock. */
  #serverClock: { readonly time: number; readonly readAt: number } | undefined;
  #since: number | undefined;
  /** Whether an announcement was dropped because the connection was down. A real connection notices that it broke. */
  #missedAnnouncement = false;

  constructor(options: StoreConnectionOptions) {
    const { server, clock } = options;
    this.#options = options;
    this.#breaker = new CommandBreaker(clock);
    this.#epoch = server.epoch;
    this.#timesGoneBack = server.timesGoneBack;
    this.#heardAt = clock.monotonic();
    this.#since = clock.monotonic();
    this.store = this.#createStore();
    server.onAnnouncement((announcement) => this.#deliver(announcement));
    this.#beatLater();
  }

  get isConnected(): boolean {
    return this.#options.server.isUp && !this.#isCut;
  }

  /** Whether the store has answered once. Before that, `GET /readyz` keeps apps away. */
  get isReady(): boolean {
    return this.#isReady;
  }

  cut(): void {
    this.#isCut = true;
  }

  /** Messages to the store and back wait for `ms`. The connection stays. */
  stallLink(ms: number): void {
    this.#linkStalledUntil = this.#options.time.now + ms;
  }

  join(): void {
    this.#isCut = false;
  }

  /** How long a message that is sent now waits in the link. */
  #linkMs(): number {
    return Math.max(0, this.#linkStalledUntil - this.#options.time.now);
  }

  #createStore(): TokenStore {
    return {
      terminals: this.#commands('terminals', { clockFor: () => this.#serverTime() }),
      accounts: this.#commands('accounts'),
      dueQueue: this.#commands('dueQueue'),
      rateLimiter: this.#commands('rateLimiter'),
      loginQueue: this.#commands('loginQueue'),
      announcements: this.#feed(),
      health: this.#health(),
      // No status is simulated.
      replicas: { leave: async () => undefined, others: async () => [], end: async () => undefined },
      close: async () => this.#heartbeat?.cancel(),
    };
  }

  /** All commands of a part of the store. Each makes a round trip, except those that the replica answers itself. */
  #commands<Part extends StoreCommand['part']>(part: Part, own: Partial<TokenStore[Part]> = {}): TokenStore[Part] {
    const { server, clock } = this.#options;
    // A due time travels as a span, so that the two clocks need not agree. The server reads it when it executes.
    const dueOnServer = (dueAt: number) => server.now() + Math.max(1, Math.round(dueAt - clock.now()));
    const send =
      (name: string) =>
      (...args: unknown[]) =>
        this.#roundTrip(() => {
          const index = DUE_TIMES[name] ?? args.length;
          const dueAt = args[index];
          return { part, name, args: typeof dueAt === 'number' ? args.with(index, dueOnServer(dueAt)) : args };
        });
    const get = (answered: object, name: string) => Reflect.get(answered, name) ?? send(name);
    return new Proxy(own, { get }) as TokenStore[Part];
  }

  /**
   * Sends a command. The request and the answer can each be lost or late.
   * @param commandOf called when the server executes the command
   * @throws BrokerError `store_unavailable`
   */
  async #roundTrip(commandOf: () => StoreCommand | undefined): Promise<unknown> {
    const { server, time, process, clock, network } = this.#options;
    if (!this.#breaker.admit()) throw this.#unanswered(this.#isBreakerWrong);
    const [requestMs, answerMs] = [network.delayMs(), network.delayMs()];
    const [losesRequest, losesAnswer] = [this.#loses(), this.#loses()];
    if (requestMs + answerMs >= COMMAND_TIMEOUT_MS) network.onLoss();
    const sentAt = time.now;
    const sentAtMs = sentAt - time.startedAt;
    let arrivesAt = Number.POSITIVE_INFINITY;
    const exchange = new Promise<{ readonly value: unknown }>((resolve, reject) => {
      const execute = (): void => {
        if (!this.isConnected || losesRequest) {
          network.onUnanswered();
          return;
        }
        const command = commandOf();
        const isLate = time.now > sentAt + COMMAND_TIMEOUT_MS;
        if (command && isLate && !COMMANDS_WITHOUT_DEADLINE.has(command.name)) return;
        const executing = command ? server.execute(command, process.number, sentAtMs) : Promise.resolve(undefined);
        executing.then((value) => {
          const deliver = (): void => {
            if (this.isConnected && !losesAnswer) resolve({ value });
            else network.onUnanswered();
          };
          const waitMs = this.#linkMs() + answerMs;
          if (!losesAnswer) arrivesAt = time.now + waitMs;
          time.after(waitMs, deliver, process);
        }, reject);
      };
      time.after(this.#linkMs() + requestMs, () => server.whenRunning(execute));
    });
    const answer = await withTimeout(clock, COMMAND_TIMEOUT_MS, exchange);
    const hasRecovered = this.#breaker.settle(answer ? 'answered' : 'timeout');
    if (hasRecovered) for (const listener of this.#returnListeners) listener('same');
    this.#isReady ||= answer !== undefined;
    // The first heartbeat is sent as soon as the replica is connected.
    if (answer && !this.#serverClock) this.#readServerClock();
    if (answer) return answer.value;
    this.#isBreakerWrong = arrivesAt <= time.now && this.isConnected;
    throw this.#unanswered(this.#isBreakerWrong);
  }

  /** @param isOwnFault the answer had arrived, and the process stood still */
  #unanswered(isOwnFault: boolean): BrokerError {
    if (!isOwnFault) this.#options.network.onUnanswered();
    return new BrokerError('store_unavailable', { retryAfter: 1 });
  }

  #loses(): boolean {
    const { time, network } = this.#options;
    const lost = time.random() < network.lossRate;
    if (lost) network.onLoss();
    return lost;
  }

  #feed(): AnnouncementFeed {
    return {
      subscribe: (listener) => void this.#listeners.push(listener),
      completeSince: () => (this.#options.clock.monotonic() - this.#heardAt < SILENCE_MS ? this.#since : undefined),
    };
  }

  /** The answer of a heartbeat is on its way for some time. */
  #readServerClock(): void {
    const { server, clock, network } = this.#options;
    this.#serverClock = { time: server.now() - network.delayMs(), readAt: clock.monotonic() };
  }

  #serverTime(): number | undefined {
    return this.#serverClock && this.#serverClock.time + this.#options.clock.monotonic() - this.#serverClock.readAt;
  }

  #health(): StoreHealth {
    return {
      ping: async () => void (await this.#roundTrip(() => undefined)),
      onReturn: (listener) => void this.#returnListeners.push(listener),
    };
  }

  #deliver(announcement: Announcement): void {
    const { time, process, network } = this.#options;
    if (!process.alive) return;
    const deliver = (): void => {
      const lost = time.random() < network.announcementLossRate;
      if (!this.isConnected) this.#missedAnnouncement = true;
      else if (!lost) {
        network.onHeard(announcement);
        for (const listener of this.#listeners) listener(announcement);
      }
    };
    time.after(this.#linkMs() + network.delayMs(), deliver, process);
  }

  #beatLater(): void {
    const { time, clock } = this.#options;
    const beat = (): void => {
      this.#beat();
      this.#heartbeat = clock.setTimer(beat, HEARTBEAT_MS);
    };
    this.#heartbeat = clock.setTimer(beat, time.random() * HEARTBEAT_MS);
  }

  #beat(): void {
    const { server, clock } = this.#options;
    if (!this.isConnected) {
      this.#wasAway = true;
      return;
    }
    if (!server.answers || this.#linkMs() > 0) return;
    const now = clock.monotonic();
    this.#readServerClock();
    const change = this.#changeOfData();
    // A server that starts anew has no connection of before.
    if (change !== 'same') this.#missedAnnouncement = true;
    if (this.#since === undefined || this.#missedAnnouncement || now - this.#heardAt >= GAP_MS) this.#since = now;
    this.#missedAnnouncement = false;
    this.#heardAt = now;
    if (change === 'same' && !this.#wasAway) return;
    this.#epoch = server.epoch;
    this.#timesGoneBack = server.timesGoneBack;
    this.#wasAway = false;
    for (const listener of this.#returnListeners) listener(change);
  }

  #changeOfData(): StoreHistory {
    const { server } = this.#options;
    if (this.#epoch !== server.epoch) return 'lost';
    return this.#timesGoneBack === server.timesGoneBack ? 'same' : 'went_back';
  }
}
