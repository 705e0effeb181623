import { randomUUID } from 'node:crypto';
import { type Redis, ReplyError } from 'ioredis';
import type { Clock, Timer } from '../../token/clock.ts';
import { isErrorCode } from '../../token/errors.ts';
import type { Log } from '../../token/log.ts';
import type { Observer } from '../../token/observer.ts';
import type { Announcement, AnnouncementFeed, DataLoss, LoginFailure, StoreHistory } from '../../token/ports.ts';
import { MAX_COOL_DOWN_MS } from '../../token/renewal-timing.ts';
import { type AccountId, accountOf, isSubjectId, type SubjectId } from '../../token/subject.ts';
import type { RedisClient } from './connection/clients.ts';
import type { RedisCommands } from './connection/commands.ts';
import { SHARDS } from './keys.ts';
import { runScript } from './lua-scripts.ts';
import { MAX_LEAD_MS } from './records/record-codec.ts';
import type { StoreContext } from './store-context.ts';

/** Kind, subject or account, generation, and then the change, or a failure. */
const MESSAGE = /^([a-z]+) ([\w-]{22}|[\w-]{44}) ([0-9]+) (\S+)$/;

/** Error code, seconds until a retry makes sense, and the vendor's result code, or ''. A newer replica may add more. */
const FAILURE = /^([a-z_]+),(\d{0,16}),(-?\d{0,16})(?:,|$)/;
/** As long as a cool-down at most. Anyone with access to Redis may have written any number. */
const MAX_RETRY_AFTER_S = MAX_COOL_DOWN_MS / 1_000;

export function failureText({ code, retryAfter, vendorCode }: LoginFailure): string {
  return [code, retryAfter, vendorCode].join();
}

function readFailure(text: string): LoginFailure | undefined {
  const [, code = '', retryAfter, vendorCode] = FAILURE.exec(text) ?? [];
  if (!isErrorCode(code)) return undefined;
  return {
    code,
    ...(retryAfter && { retryAfter: Math.min(Number(retryAfter), MAX_RETRY_AFTER_S) }),
    ...(vendorCode && { vendorCode: Number(vendorCode) }),
  };
}

/** `undefined` for what only a newer replica knows, and a generation too far ahead of the clock to be a broker's. */
export function readAnnouncement(text: string, now: number): Announcement | undefined {
  const [, kind, of = '', digits, last = ''] = MESSAGE.exec(text) ?? [];
  const generation = Number(digits);
  const id = of as SubjectId | AccountId;
  if (generation > now + MAX_LEAD_MS) return undefined;
  if (!isSubjectId(id))
    return kind === 'erased' || kind === 'loggedout' ? { kind, account: id, generation } : undefined;
  if (kind === 'saved' || kind === 'suspected' || kind === 'removed') return { kind, id, generation };
  const failure = kind === 'failed' ? readFailure(last) : undefined;
  return failure && { kind: 'failed', id, generation, ...failure };
}

const HEARTBEAT_MS = 1_000;
/** After this time without a complete heartbeat, announcements may be missing. */
const SILENCE_MS = 3_000;
/** A longer pause between two complete heartbeats means that one was lost, and perhaps announcements too. */
const GAP_MS = 1.9 * HEARTBEAT_MS;

/** One message per shard. On a cluster, each shard's announcements may come from another node. */
interface Heartbeat {
  readonly number: number;
  /** By the monotonic clock, as all times here. */
  readonly sentAt: number;
  /** The shards whose message Redis has accepted. */
  readonly published: Set<number>;
  /** The shards whose message has arrived. */
  readonly heard: Set<number>;
}

type AnnouncementsContext = Pick<StoreContext, 'keys' | 'changes'> & {
  readonly clock: Clock;
  readonly redis: RedisCommands;
  readonly log: Pick<Log, 'error'>;
  readonly observer: Pick<Observer, 'storeLostData'>;
};

const LOSSES = {
  lost:
    'Redis has lost its data. This replica writes back the tokens, logouts and erasures that it remembers. Repeat your ' +
    'erasures: docs/runbooks.md#redis_lost_data',
  went_back:
    'Redis went back in time: its data is older than what this replica has seen, for example after a restore or a ' +
    'failover. This replica writes back the tokens, logouts and erasures that it remembers. Repeat the erasures since that data: ' +
    'docs/runbooks.md#redis_lost_data',
} as const;

/**
 * Receives announcements on a connection of its own. It publishes heartbeats as the scripts publish announcements:
 * while each arrives, no announcement was missed. The answers show the clock of Redis, and whether Redis still has the
 * last change that this replica knows of.
 */
export class RedisAnnouncements implements AnnouncementFeed {
  readonly #context: AnnouncementsContext;
  readonly #subscriber: Redis;
  readonly #commands: RedisClient;
  readonly #channel: string;
  readonly #listeners: ((announcement: Announcement) => void)[] = [];
  readonly #returnListeners: ((history: StoreHistory) => void)[] = [];
  /** Whether the connection for commands was lost since the last heartbeat that all shards have answered. */
  #isReturning = false;
  /** The last loss of each kind. */
  readonly #losses = new Map<DataLoss['history'], DataLoss>();
  #timer: Timer;
  readonly #shards: readonly number[];
  #subscribed = false;
  #heartbeat: Heartbeat = { number: 0, sentAt: 0, published: new Set(), heard: new Set() };
  #completeSince: number | undefined;
  /** Every announcement before this time has arrived. */
  #completeUntil = Number.NEGATIVE_INFINITY;

  /** @param subscriber a connection that is used for nothing else */
  constructor(context: AnnouncementsContext, subscriber: Redis, commands: RedisClient) {
    this.#context = context;
    this.#subscriber = subscriber;
    this.#commands = commands;
    this.#channel = context.keys.beats(randomUUID());
    this.#shards = Array.from({ length: commands.isCluster ? SHARDS : 1 }, (_, shard) => shard);
    subscriber.on('ready', () => void this.#subscribe());
    commands.on('ready', () => this.#checkConnection());
    commands.on('close', () => {
      this.#isReturning = true;
    });
    subscriber.on('close', () => {
      this.#subscribed = false;
      this.#completeSince = undefined;
    });
    subscriber.on('message', (channel: string, text: string) => {
      if (channel === this.#channel) this.#hearHeartbeat(text);
      else this.#hearAnnouncement(text);
    });
    this.#timer = this.#checkLater();
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#listeners.push(listener);
  }

  /** See `StoreHealth`. */
  onReturn(listener: (history: StoreHistory) => void): void {
    this.#returnListeners.push(listener);
  }

  /** See `RedisStore`. */
  losses(): readonly DataLoss[] {
    return [...this.#losses.values()];
  }

  completeSince(): number | undefined {
    return this.#silentForMs() < SILENCE_MS ? this.#completeSince : undefined;
  }

  close(): void {
    this.#timer.cancel();
    this.#subscriber.disconnect();
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#subscriber.subscribe(this.#context.keys.announcements, this.#channel);
      this.#subscribed = true;
      this.#completeUntil = this.#context.clock.monotonic();
      this.#sendHeartbeat();
    } catch (error) {
      // A missing right stays missing on a new connection. The next check tries again.
      if (error instanceof ReplyError) this.#subscriber.emit('error', error);
      else this.#subscriber.disconnect(true);
    }
  }

  #checkLater(): Timer {
    const { clock } = this.#context;
    return clock.setTimer(() => {
      // After a standstill, timers run before the heartbeat that has arrived is read.
      clock.nextTurn(() => this.#checkConnection());
      this.#timer = this.#checkLater();
    }, HEARTBEAT_MS);
  }

  #checkConnection(): void {
    if (this.#subscriber.status !== 'ready') return;
    if (!this.#subscribed) void this.#subscribe();
    else if (this.#isDeaf()) this.#subscriber.disconnect(true);
    else this.#sendHeartbeat();
  }

  #sendHeartbeat(): void {
    const number = this.#heartbeat.number + 1;
    const sentAt = this.#context.clock.monotonic();
    const heartbeat = { number, sentAt, published: new Set<number>(), heard: new Set<number>() };
    this.#heartbeat = heartbeat;
    void this.#compareHistory(this.#shards.map((shard) => this.#beat(heartbeat, shard)));
  }

  async #beat({ number, sentAt, published }: Heartbeat, shard: number): Promise<StoreHistory> {
    const { redis, keys, changes } = this.#context;
    const key = keys.changes(shard);
    const known = changes.lastOf(shard);
    const args = [this.#channel, `${number} ${shard}`, known];
    const answer = (await runScript(this.#commands, ['beat', [key], args])) as Buffer[];
    const [time, last, history] = answer.map(String) as [string, string, StoreHistory];
    published.add(shard);
    redis.clocks.note(redis.partOf(key), Number(time), sentAt);
    // Of two heartbeats at the same time, the first one reports a loss.
    return changes.compared(shard, known, last) ? history : 'same';
  }

  /** Tells the listeners when Redis is back after an outage, and whenever it has lost changes. */
  async #compareHistory(beats: readonly Promise<StoreHistory>[]): Promise<void> {
    const { clock, log, observer } = this.#context;
    // If a heartbeat fails, it does not arrive, which completeSince() notices.
    const outcomes = await Promise.allSettled(beats);
    const histories = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const loss = histories.find((history) => history === 'lost' || history === 'went_back');
    const isBack = this.#isReturning && histories.length === beats.length;
    if (loss) {
      this.#losses.set(loss, { history: loss, at: clock.now(), monotonic: clock.monotonic() });
      observer.storeLostData(loss);
      log.error({}, LOSSES[loss]);
    }
    if (isBack) this.#isReturning = false;
    if (loss || isBack) for (const listener of this.#returnListeners) listener(loss ?? 'same');
  }

  /** Whether Redis has accepted a message that did not arrive in time, so that a new connection may help. */
  #isDeaf(): boolean {
    const { published, heard } = this.#heartbeat;
    return this.#silentForMs() >= SILENCE_MS && [...published].some((shard) => !heard.has(shard));
  }

  #hearHeartbeat(text: string): void {
    const [number, shard] = text.split(' ').map(Number);
    const { heard, sentAt } = this.#heartbeat;
    if (number !== this.#heartbeat.number || shard === undefined) return;
    heard.add(shard);
    if (heard.size < this.#shards.length) return;
    if (this.#completeSince === undefined || sentAt - this.#completeUntil >= GAP_MS) this.#completeSince = sentAt;
    this.#completeUntil = sentAt;
  }

  #silentForMs(): number {
    return this.#context.clock.monotonic() - this.#completeUntil;
  }

  #hearAnnouncement(text: string): void {
    const { redis, keys, changes, clock } = this.#context;
    const now = redis.now(keys.changes(0)) ?? clock.now();
    const announcement = readAnnouncement(text, now);
    if (!announcement) return;
    const account = 'account' in announcement ? announcement.account : accountOf(announcement.id);
    changes.note(account, text.slice(text.lastIndexOf(' ') + 1));
    for (const listener of this.#listeners) listener(announcement);
  }
}
