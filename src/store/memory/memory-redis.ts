import type { Clock } from '../../token/clock.ts';
import type { ScriptName } from '../redis/lua-scripts.ts';
import { type Execute, type Reply, runLua } from './lua.ts';

/** Epoch ms, and ms since any moment. Both go on alike. */
export type StoreTime = Pick<Clock, 'now' | 'monotonic'>;

/** Executes the command, whose key is the first argument. */
type Command = (key: string, ...args: string[]) => Reply;

class SortedSet {
  readonly #scores = new Map<string, number>();
  /** Member and score by score, then by member; `undefined` after a change. */
  #sorted: readonly (readonly [string, number])[] | undefined;

  get size(): number {
    return this.#scores.size;
  }

  score(member: string): number | undefined {
    return this.#scores.get(member);
  }

  set(member: string, score: number): void {
    this.#scores.set(member, score);
    this.#sorted = undefined;
  }

  delete(member: string): boolean {
    this.#sorted = undefined;
    return this.#scores.delete(member);
  }

  get sorted(): readonly (readonly [string, number])[] {
    this.#sorted ??= [...this.#scores].sort(
      ([one, first], [other, second]) => first - second || (one < other ? -1 : 1),
    );
    return this.#sorted;
  }
}

/** The ids of the entries, in order. Every entry has the same content. */
interface Stream {
  readonly ids: string[];
  lastId: string;
}

/** ioredis takes these as arguments of a command. */
export type Argument = string | number | Buffer;

type Value = string | Map<string, string> | SortedSet | Stream;

/** So many keys that may have expired are looked at with each command. */
const SWEPT_KEYS = 2;

/** The used commands of Redis (https://redis.io/docs/latest/commands). A text has a character for each byte. */
export class MemoryRedis {
  readonly #clock: StoreTime;
  readonly #onMessage: (channel: string, text: string) => void;
  /** Those of the script that runs. */
  readonly #messages: [channel: string, text: string][] = [];
  readonly #values = new Map<string, Value>();
  /** By the monotonic clock. */
  readonly #expiries = new Map<string, number>();

  /** @param onMessage is given each message, on whatever channel */
  constructor(time: StoreTime, onMessage: (channel: string, text: string) => void = () => undefined) {
    this.#clock = time;
    this.#onMessage = onMessage;
  }

  /** Runs a command as ioredis does: strings in the answer are buffers. */
  run(name: string, ...args: readonly Argument[]): unknown {
    return withBuffers(this.execute(name.toUpperCase(), args.map(bytesOf)));
  }

  /** Runs a script as ioredis does, then delivers its messages. @param args with the deadline, the last one */
  runScript(name: ScriptName, keys: readonly string[], args: readonly Argument[]): unknown {
    const answer = runLua(name, keys, args.map(bytesOf), this.execute);
    for (const [channel, text] of this.#messages.splice(0)) this.#onMessage(channel, text);
    return withBuffers(answer);
  }

  /** Executes a command. @throws Error if it is none of the broker's */
  execute: Execute = (name, [key = '', ...args]) => {
    const command = this.#commands[name];
    if (!command) throw new Error(`unknown command ${name}`);
    this.#sweep();
    return command(key, ...args);
  };

  readonly #commands: Readonly<Record<string, Command>> = {
    TIME: () => [String(Math.floor(this.#clock.now() / 1_000)), String((this.#clock.now() % 1_000) * 1_000)],
    PUBLISH: (channel, text = '') => {
      this.#messages.push([channel, text]);
      return 1;
    },

    DEL: (...keys) => keys.filter((key) => this.#delete(key)).length,
    PTTL: (key) => {
      if (this.#find(key) === undefined) return -2;
      const expiry = this.#expiries.get(key);
      return expiry === undefined ? -1 : Math.ceil(expiry - this.#clock.monotonic());
    },
    PEXPIRE: (key, ms) => {
      if (this.#find(key) === undefined) return 0;
      this.#expiries.set(key, this.#clock.monotonic() + Number(ms));
      return 1;
    },
    PERSIST: (key) => (this.#find(key) !== undefined && this.#expiries.delete(key) ? 1 : 0),

    GET: (key) => (this.#find(key) as string | undefined) ?? null,
    SET: (key, value = '', _px?: string, ms?: string) => {
      this.#values.set(key, value);
      this.#expiries.delete(key);
      if (ms !== undefined) this.#commands['PEXPIRE']?.(key, ms);
      return 'OK';
    },

    HGET: (key, field = '') => this.#hash(key).get(field) ?? null,
    HMGET: (key, ...fields) => fields.map((field) => this.#hash(key).get(field) ?? null),
    HGETALL: (key) => [...this.#hash(key)].flat(),
    HRANDFIELD: (key, count) => [...this.#hash(key)].slice(0, Number(count)).flat(),
    HLEN: (key) => this.#hash(key).size,
    HSET: (key, ...pairs) => {
      const hash = this.#store(key, this.#hash(key));
      const before = hash.size;
      for (let at = 0; at < pairs.length; at += 2) hash.set(String(pairs[at]), String(pairs[at + 1]));
      return hash.size - before;
    },
    HSETNX: (key, field = '', value = '') => {
      if (this.#hash(key).has(field)) return 0;
      this.#store(key, this.#hash(key)).set(field, value);
      return 1;
    },
    HINCRBY: (key, field = '', change = '') => {
      const sum = Number(this.#hash(key).get(field) ?? 0) + Number(change);
      this.#store(key, this.#hash(key)).set(field, String(sum));
      return sum;
    },
    HDEL: (key, ...fields) => this.#shrunk(key, this.#hash(key), fields),

    ZADD: (key, ...args) => {
      const conditions = new Set(args.slice(0, -2));
      const [score, member] = [Number(args.at(-2)), String(args.at(-1))];
      const before = this.#sortedSet(key).score(member);
      if (before === undefined ? conditions.has('XX') : conditions.has('GT') && score <= before) return 0;
      if (before !== undefined && conditions.has('LT') && score >= before) return 0;
      this.#store(key, this.#sortedSet(key)).set(member, score);
      return before === undefined ? 1 : 0;
    },
    ZREM: (key, ...members) => this.#shrunk(key, this.#sortedSet(key), members),
    ZCOUNT: (key, from, to) => this.#between(key, from, to).length,
    ZRANGE: (key, from, to, withScores) => {
      const [first, last] = [Number(from), Number(to)];
      const found = this.#sortedSet(key).sorted.slice(first, last === -1 ? undefined : last + 1);
      return found.flatMap(([member, score]) => (withScores ? [member, String(score)] : [member]));
    },
    ZRANGEBYSCORE: (key, from, to, _limit, offset, count) =>
      this.#between(key, from, to)
        .slice(Number(offset), Number(offset) + Number(count))
        .map(([member]) => member),

    XADD: (key, _maxLength, most) => {
      const stream = this.#store(key, this.#stream(key));
      const [lastMs = 0, last = 0] = stream.lastId.split('-').map(Number);
      const now = this.#clock.now();
      stream.lastId = now > lastMs ? `${now}-0` : `${lastMs}-${last + 1}`;
      stream.ids.push(stream.lastId);
      stream.ids.splice(0, stream.ids.length - Number(most));
      return stream.lastId;
    },
    XLEN: (key) => this.#stream(key).ids.length,
    // One entry, or those before one: `- (1-1`.
    XRANGE: (key, from = '', to = '', _count?: string, count = '') => {
      const { ids } = this.#stream(key);
      const found = from === to ? [from].filter((id) => ids.includes(id)) : ids.filter((id) => isBefore(id, to));
      return entriesOf(found, count);
    },
    XREVRANGE: (key, _to, _from, _count?: string, count = '') =>
      entriesOf(this.#stream(key).ids.slice(-Number(count)).reverse(), count),
  };

  /** The number of keys, with those that have expired and are not deleted yet. */
  get size(): number {
    return this.#values.size;
  }

  #sweep(): void {
    let left = SWEPT_KEYS;
    for (const [key, expiry] of this.#expiries) {
      if (left === 0) return;
      left -= 1;
      this.#expiries.delete(key);
      if (expiry > this.#clock.monotonic()) this.#expiries.set(key, expiry);
      else this.#values.delete(key);
    }
  }

  #find(key: string): Value | undefined {
    if ((this.#expiries.get(key) ?? Number.POSITIVE_INFINITY) <= this.#clock.monotonic()) this.#delete(key);
    return this.#values.get(key);
  }

  #delete(key: string): boolean {
    this.#expiries.delete(key);
    return this.#values.delete(key);
  }

  #store<Stored extends Value>(key: string, value: Stored): Stored {
    this.#values.set(key, value);
    return value;
  }

  #hash(key: string): Map<string, string> {
    return (this.#find(key) as Map<string, string> | undefined) ?? new Map();
  }

  #sortedSet(key: string): SortedSet {
    return (this.#find(key) as SortedSet | undefined) ?? new SortedSet();
  }

  #stream(key: string): Stream {
    return (this.#find(key) as Stream | undefined) ?? { ids: [], lastId: '' };
  }

  /** Deletes members of a value, and the key with the last of them. @returns how many there were */
  #shrunk(key: string, value: Map<string, string> | SortedSet, members: readonly string[]): number {
    const count = members.filter((member) => value.delete(member)).length;
    if (value.size === 0) this.#delete(key);
    return count;
  }

  #between(key: string, from = '', to = ''): readonly (readonly [string, number])[] {
    return this.#sortedSet(key).sorted.filter(([, score]) => score >= limitOf(from) && score <= limitOf(to));
  }
}

/** One character for each byte. */
function bytesOf(argument: Argument): string {
  return (argument instanceof Buffer ? argument : Buffer.from(String(argument))).toString('latin1');
}

function withBuffers(reply: Reply): unknown {
  if (typeof reply === 'string') return Buffer.from(reply, 'latin1');
  return Array.isArray(reply) ? reply.map(withBuffers) : reply;
}

function limitOf(text: string): number {
  return Number(text.replace('inf', 'Infinity'));
}

function entriesOf(ids: readonly string[], count: string): Reply {
  return ids.slice(0, count === '' ? undefined : Number(count)).map((id) => [id, ['', '']]);
}

/** By the time, then by the number within it. @param to an id that is excluded: `(1-1` */
function isBefore(id: string, to: string): boolean {
  const [time = 0, place = 0] = id.split('-').map(Number);
  const [otherTime = 0, otherPlace = 0] = to.slice(1).split('-').map(Number);
  return time < otherTime || (time === otherTime && place < otherPlace);
}
