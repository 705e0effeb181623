import { type Argument, MemoryRedis, type StoreTime } from '../../src/store/memory/memory-redis.ts';
import { MEMORY_PREFIX, partsOn } from '../../src/store/memory/memory-store.ts';
import { Keys, SHARDS } from '../../src/store/redis/keys.ts';
import type { ScriptName } from '../../src/store/redis/lua-scripts.ts';
import { accountOf, type SubjectId, terminalOf } from '../../src/token/subject.ts';
import type { VirtualTime } from './virtual-time.ts';

export const TERMINALS_PER_ACCOUNT = 20;
/** Commands that waited for the server run in this distance, in the order of their arrival. */
const QUEUE_STEP_MS = 0.001;
/** Scripts and commands that change nothing. */
const READS = new Set<string>([
  'beat',
  'outlook',
  'endsOf',
  'nextPlace',
  'hmget',
  'hget',
  'get',
  'hrandfield',
  'zrange',
  'time',
]);

/** A script with its deadline as the last argument, or a command. */
export type RedisCall =
  | { readonly script: ScriptName; readonly keys: readonly string[]; readonly args: readonly Argument[] }
  | { readonly command: string; readonly args: readonly Argument[] };

/** A message on a channel. */
export interface Message {
  readonly channel: string;
  readonly text: string;
}

/** A call that has changed something. */
export interface ExecutedCall {
  readonly call: RedisCall;
  /** The replica that sent it. */
  readonly replica: number;
  /** ms since the start. */
  readonly sentAt: number;
  readonly answer: unknown;
  readonly published: readonly Message[];
}

/**
 * The Redis of all replicas, with the scripts of the broker. It can stand still, stop, and come back with its data,
 * without it, or with an older state of it.
 */
export class StoreServer {
  readonly keys = new Keys(MEMORY_PREFIX);
  readonly #time: VirtualTime;
  readonly #clock: StoreTime;
  readonly #messageListeners: ((message: Message) => void)[] = [];
  readonly #callListeners: ((call: ExecutedCall) => void)[] = [];
  readonly #stopListeners: (() => void)[] = [];
  /** Every change since the server last started empty, for {@link goBack}. */
  #log: { readonly at: number; readonly call: RedisCall }[] = [];
  #replayedAt: number | undefined;
  #published: Message[] = [];
  #waiting = 0;
  #isUp = true;
  #stalledUntil = 0;
  #redis: MemoryRedis;

  constructor(time: VirtualTime) {
    this.#time = time;
    this.#clock = {
      now: () => Math.floor(this.#replayedAt ?? time.now),
      monotonic: () => (this.#replayedAt ?? time.now) - time.startedAt,
    };
    this.#redis = this.#create();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** The data of the server, read without the network. */
  get data() {
    const options = { clock: this.#clock, terminalsPerAccount: TERMINALS_PER_ACCOUNT, log: { warn: () => undefined } };
    return partsOn(this.#redis, options);
  }

  /** Calls `listener` for each message at the moment the server publishes it. */
  onMessage(listener: (message: Message) => void): void {
    this.#messageListeners.push(listener);
  }

  /** Calls `listener` after each change, at the virtual time of its execution. */
  onCall(listener: (call: ExecutedCall) => void): void {
    this.#callListeners.push(listener);
  }

  /** Calls `listener` when the server ends, which ends its connections. */
  onStop(listener: () => void): void {
    this.#stopListeners.push(listener);
  }

  stop(): void {
    this.#isUp = false;
    for (const listener of this.#stopListeners) listener();
  }

  start(): void {
    this.#isUp = true;
  }

  /** Executes nothing for `ms`. Connections stay, and commands that arrive wait. */
  stall(ms: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#time.now + ms);
    this.#waiting = 0;
  }

  /** Calls `run` at once, or when the server runs again. */
  whenRunning(run: () => void): void {
    const waitMs = this.#stalledUntil - this.#time.now;
    if (waitMs > 0) {
      this.#waiting += 1;
      this.#time.after(waitMs + this.#waiting * QUEUE_STEP_MS, run);
    } else {
      run();
    }
  }

  /** Executes a call that has arrived. @throws Error that Redis answers */
  execute(call: RedisCall, replica: number, sentAt: number): unknown {
    this.#published = [];
    const answer = this.#run(call);
    if (READS.has('script' in call ? call.script : call.command)) return answer;
    this.#log.push({ at: this.#time.now, call });
    for (const listener of this.#callListeners) listener({ call, replica, sentAt, answer, published: this.#published });
    return answer;
  }

  loseData(): void {
    this.#log = [];
    this.#redis = this.#create();
  }

  /** Replaces the data by its state of an earlier time: repeats the changes up to then in an empty Redis. */
  goBack(to: number): void {
    this.#log = this.#log.filter(({ at }) => at <= to);
    this.#redis = this.#create();
    for (const { at, call } of this.#log) {
      this.#replayedAt = at;
      this.#run(call);
    }
    this.#replayedAt = undefined;
  }

  /** How many subjects have a due time, and how many of `ids` have a token. */
  count(ids: readonly SubjectId[]): { readonly scheduled: number; readonly stored: number } {
    const shards = Array.from({ length: SHARDS }, (_, shard) =>
      this.#redis.run('zcount', this.keys.due(shard), '-inf', '+inf'),
    );
    const stored = ids.filter(
      (id) => this.#redis.run('hget', this.keys.account(accountOf(id)), terminalOf(id)) !== null,
    );
    return { scheduled: shards.reduce<number>((sum, count) => sum + Number(count), 0), stored: stored.length };
  }

  /** The subjects whose lease is held. */
  leased(ids: readonly SubjectId[]): SubjectId[] {
    return ids.filter((id) => this.#redis.run('get', this.keys.lease(id)) !== null);
  }

  #run(call: RedisCall): unknown {
    if ('script' in call) return this.#redis.runScript(call.script, call.keys, call.args);
    return this.#redis.run(call.command, ...call.args);
  }

  #create(): MemoryRedis {
    return new MemoryRedis(this.#clock, (channel, text) => {
      if (this.#replayedAt !== undefined) return;
      const message = { channel, text };
      this.#published.push(message);
      for (const listener of this.#messageListeners) listener(message);
    });
  }
}
