import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import type { Argument } from '../../src/store/memory/memory-redis.ts';
import { MEMORY_PREFIX } from '../../src/store/memory/memory-store.ts';
import type { RedisClient } from '../../src/store/redis/connection/clients.ts';
import { COMMAND_TIMEOUT_MS } from '../../src/store/redis/connection/commands.ts';
import { SILENCE_MS } from '../../src/store/redis/connection/connection.ts';
import { LUA_SCRIPTS, type ScriptName } from '../../src/store/redis/lua-scripts.ts';
import { type RedisStore, redisStoreOn } from '../../src/store/redis/redis-store.ts';
import type { Clock, Timer } from '../../src/token/clock.ts';
import type { Log } from '../../src/token/log.ts';
import { silentObserver } from '../support/silent-observer.ts';
import { type Message, type RedisCall, type StoreServer, TERMINALS_PER_ACCOUNT } from './store-server.ts';
import type { VirtualProcess, VirtualTime } from './virtual-time.ts';

/** The pause before another attempt to connect. */
const RECONNECT_MS = 100;
/** Two messages of one direction never arrive at the same time. */
const STEP_MS = 0.001;

export interface Network {
  /** Probability that requests, or answers after their effect, are lost. */
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
  readonly onHeard: (message: Message) => void;
}

export interface StoreConnectionOptions {
  readonly server: StoreServer;
  readonly time: VirtualTime;
  readonly process: VirtualProcess;
  readonly clock: Clock;
  readonly network: Network;
  readonly log: Log;
}

/** A command that has no answer yet. */
interface Exchange {
  readonly call: RedisCall;
  readonly sentAt: number;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** When the answer reaches the process; `Infinity` until it is on its way. */
  arrivesAt: number;
  isResent: boolean;
}

/** The network between one replica and the server: messages of each direction arrive in the order they were sent. */
class Link {
  readonly options: StoreConnectionOptions;
  isCut = false;
  #stalledUntil = 0;
  readonly #arrivals = { request: 0, answer: 0, message: 0 };

  constructor(options: StoreConnectionOptions) {
    this.options = options;
  }

  get isOpen(): boolean {
    return this.options.server.isUp && !this.isCut;
  }

  stall(ms: number): void {
    this.#stalledUntil = this.options.time.now + ms;
  }

  /** How long a message that is sent now takes. */
  delayOf(kind: 'request' | 'answer' | 'message'): number {
    const { time, network } = this.options;
    const waitMs = Math.max(0, this.#stalledUntil - time.now);
    const arrivesAt = Math.max(this.#arrivals[kind] + STEP_MS, time.now + waitMs + network.delayMs());
    this.#arrivals[kind] = arrivesAt;
    return arrivesAt - time.now;
  }

  loses(): boolean {
    const { time, network } = this.options;
    const isLost = time.random() < network.lossRate;
    if (isLost) network.onLoss();
    return isLost;
  }
}

/** Stands in for a client of ioredis. It has the methods that the store calls. */
class Client extends EventEmitter {
  readonly isCluster = false;
  readonly options = {};
  readonly channels = new Set<string>();
  status: 'connecting' | 'ready' | 'end' = 'connecting';
  /** Of this connection. After it, each is sent once more. */
  readonly #exchanges = new Set<Exchange>();
  readonly #link: Link;
  /** Changes with each connection. */
  #connection = 0;
  readonly #timers = new Set<Timer>();

  constructor(link: Link) {
    super();
    this.#link = link;
    for (const script of Object.keys(LUA_SCRIPTS) as ScriptName[]) {
      const run = (count: number, ...rest: Argument[]) =>
        this.#send({ script, keys: rest.slice(0, count).map(String), args: rest.slice(count) });
      Object.assign(this, { [`${script}Buffer`]: run });
    }
    this.#connectLater();
  }

  callBuffer(command: string, ...args: Argument[]): Promise<unknown> {
    return this.#send({ command, args });
  }

  ping(): Promise<unknown> {
    return this.#send({ command: 'time', args: [] });
  }

  async time(): Promise<string[]> {
    return ((await this.#send({ command: 'time', args: [] })) as Buffer[]).map(String);
  }

  async subscribe(...channels: string[]): Promise<void> {
    await this.ping();
    for (const channel of channels) this.channels.add(channel);
  }

  async quit(): Promise<void> {
    this.#end();
  }

  /** @param reconnect as ioredis has it */
  disconnect(reconnect = false): void {
    this.close();
    if (!reconnect) this.#end();
  }

  #end(): void {
    this.status = 'end';
    for (const timer of this.#timers) timer.cancel();
  }

  #later(ms: number, run: () => void): void {
    if (this.status === 'end') return;
    const { time, process } = this.#link.options;
    const timer = time.after(
      ms,
      () => {
        this.#timers.delete(timer);
        run();
      },
      process,
    );
    this.#timers.add(timer);
  }

  /** Whether each answer has reached the process, which may stand still. */
  get hasAllAnswers(): boolean {
    const { now } = this.#link.options.time;
    return this.#link.isOpen && [...this.#exchanges].every(({ arrivesAt }) => arrivesAt <= now);
  }

  /** The connection ends, which this side notices. */
  close(): void {
    if (this.status !== 'ready') return;
    this.status = 'connecting';
    this.#connection += 1;
    this.channels.clear();
    this.emit('close');
    this.#connectLater();
  }

  #connectLater(): void {
    const { time, network } = this.#link.options;
    this.#later(RECONNECT_MS * (0.5 + time.random()) + network.delayMs(), () => this.#connect());
  }

  #connect(): void {
    if (this.status !== 'connecting') return;
    const exchanges = [...this.#exchanges];
    this.#exchanges.clear();
    if (!this.#link.isOpen) {
      for (const { reject } of exchanges) reject(new Error('Reached the max retries per request limit'));
      this.#connectLater();
      return;
    }
    this.status = 'ready';
    for (const exchange of exchanges) {
      if (exchange.isResent) exchange.reject(new Error('Reached the max retries per request limit'));
      else this.#write({ ...exchange, isResent: true, arrivesAt: Number.POSITIVE_INFINITY });
    }
    this.emit('ready');
  }

  #send(call: RedisCall): Promise<unknown> {
    if (this.status !== 'ready') return Promise.reject(new Error("Stream isn't writeable"));
    const sentAt = this.#link.options.time.now;
    return new Promise((resolve, reject) => {
      this.#write({ call, sentAt, resolve, reject, arrivesAt: Number.POSITIVE_INFINITY, isResent: false });
    });
  }

  #write(exchange: Exchange): void {
    const { time, server } = this.#link.options;
    this.#exchanges.add(exchange);
    const [connection, isLost] = [this.#connection, this.#link.loses()];
    const execute = (): void => {
      if (isLost || !this.#link.isOpen || connection !== this.#connection) this.#lose(exchange);
      else this.#answer(exchange);
    };
    time.after(this.#link.delayOf('request'), () => server.whenRunning(execute));
  }

  /** The server has received the command. */
  #answer(exchange: Exchange): void {
    const { server, time, process, network } = this.#link.options;
    const { call, sentAt } = exchange;
    const [connection, isLost] = [this.#connection, this.#link.loses()];
    // An error of the server becomes the error of the command.
    const answer = new Promise((resolve) => resolve(server.execute(call, process.number, sentAt - time.startedAt)));
    answer.catch(() => undefined);
    const delayMs = this.#link.delayOf('answer');
    if (!isLost) exchange.arrivesAt = time.now + delayMs;
    if (exchange.arrivesAt - sentAt >= COMMAND_TIMEOUT_MS) network.onLoss();
    const deliver = (): void => {
      if (isLost || !this.#link.isOpen || connection !== this.#connection) {
        this.#lose(exchange);
        return;
      }
      this.#exchanges.delete(exchange);
      exchange.resolve(answer);
    };
    time.after(delayMs, deliver, process);
  }

  /** Nothing answers the command. So the connection ends. */
  #lose(exchange: Exchange): void {
    this.#link.options.network.onUnanswered();
    const connection = this.#connection;
    const end = (): void => {
      if (connection === this.#connection && this.#exchanges.has(exchange)) this.close();
    };
    this.#later(SILENCE_MS, end);
  }
}

/** One replica's connections to the server: the real Redis store on a modelled network. */
export class StoreConnection {
  readonly store: RedisStore;
  readonly #link: Link;
  readonly #commands: Client;
  readonly #subscriber: Client;
  /** Whether the breaker is open although the answer had arrived, because the process stood still. */
  #isBreakerWrong = false;

  constructor(options: StoreConnectionOptions) {
    const { server, time, process, clock, network, log } = options;
    this.#link = new Link(options);
    this.#commands = new Client(this.#link);
    this.#subscriber = new Client(this.#link);
    this.store = redisStoreOn(this.#commands as unknown as RedisClient, this.#subscriber as unknown as Redis, {
      url: '',
      keyPrefix: MEMORY_PREFIX,
      encryptionKeys: [],
      terminalsPerAccount: TERMINALS_PER_ACCOUNT,
      clock,
      log,
      observer: {
        ...silentObserver,
        redisFailed: (kind) => {
          if (kind === 'timeout') this.#isBreakerWrong = this.#commands.hasAllAnswers;
          if (!this.#isBreakerWrong) network.onUnanswered();
        },
      },
    });
    server.onMessage((message) => this.#deliver(message));
    server.onStop(() => time.after(network.delayMs(), () => this.#closeAll(), process));
  }

  /** No message arrives any more. Neither side notices that. */
  cut(): void {
    this.#link.isCut = true;
  }

  join(): void {
    if (!this.#link.isCut) return;
    this.#link.isCut = false;
    const { time, process, network } = this.#link.options;
    time.after(network.delayMs(), () => this.#closeAll(), process);
  }

  /** Messages to the store and back wait for `ms`. The connection stays. */
  stallLink(ms: number): void {
    this.#link.stall(ms);
  }

  #closeAll(): void {
    for (const client of [this.#commands, this.#subscriber]) client.close();
  }

  #deliver(message: Message): void {
    const { server, time, process, network } = this.#link.options;
    const { channel, text } = message;
    if (!process.alive || !this.#subscriber.channels.has(channel)) return;
    const isAnnouncement = channel === server.keys.announcements;
    const isLost = isAnnouncement && time.random() < network.announcementLossRate;
    const deliver = (): void => {
      if (isLost || !this.#link.isOpen || !this.#subscriber.channels.has(channel)) return;
      if (isAnnouncement) network.onHeard(message);
      this.#subscriber.emit('message', channel, text);
    };
    time.after(this.#link.delayOf('message'), deliver, process);
  }
}
