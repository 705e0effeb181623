import { randomUUID } from 'node:crypto';
import { type Redis, ReplyError } from 'ioredis';
import type { Clock } from '../../token/clock.ts';
import { isErrorCode } from '../../token/errors.ts';
import type { Announcement, AnnouncementFeed } from '../../token/ports.ts';
import type { AccountId, SubjectId } from '../../token/subject.ts';
import type { RedisClient } from './connection/clients.ts';
import { type Keys, SHARDS } from './keys.ts';
import { runScript } from './lua-scripts.ts';
import { MAX_LEAD_MS } from './records/record-codec.ts';

const ANNOUNCEMENT = /^(saved|removed|failed) ([\w-]{44}) ([0-9]+)(?: ([a-z_]+))?$/;
const ERASURE = /^erased ([\w-]{22}) ([0-9]+)$/;

/**
 * `undefined` for unknown texts: during a rolling update, a newer replica may announce something new. Also for a
 * generation that no broker announced, because it is too far ahead of the clock.
 */
function readAnnouncement(text: string, now: number): Announcement | undefined {
  const announcement = parseAnnouncement(text);
  return announcement && announcement.generation <= now + MAX_LEAD_MS ? announcement : undefined;
}

function parseAnnouncement(text: string): Announcement | undefined {
  const [, account, instant] = ERASURE.exec(text) ?? [];
  if (account) return { kind: 'erased', account: account as AccountId, generation: Number(instant) };
  const [, kind, id, generation, code] = ANNOUNCEMENT.exec(text) ?? [];
  const about = { id: id as SubjectId, generation: Number(generation) };
  if (kind === 'failed') return code && isErrorCode(code) ? { kind, ...about, code } : undefined;
  return kind === 'saved' || kind === 'removed' ? { kind, ...about } : undefined;
}

const HEARTBEAT_MS = 1_000;
/** After this time without a complete heartbeat, announcements may be missing. */
const SILENCE_MS = 3_000;
/** A longer pause between two complete heartbeats means that one was lost, and perhaps announcements too. */
const GAP_MS = 1.9 * HEARTBEAT_MS;

/** One message per shard. On a cluster, each shard's announcements may come from another node. */
interface Heartbeat {
  readonly number: number;
  readonly sentAt: number;
  /** The shards whose message Redis has accepted. */
  readonly published: Set<number>;
  /** The shards whose message has arrived. */
  readonly heard: Set<number>;
}

/**
 * Receives announcements on a connection of its own. It also publishes heartbeats in the same way as the scripts publish
 * announcements. While each heartbeat arrives, no announcement was missed.
 */
export class RedisAnnouncements implements AnnouncementFeed {
  readonly #subscriber: Redis;
  readonly #commands: RedisClient;
  readonly #keys: Keys;
  readonly #channel: string;
  readonly #appChannels: readonly string[];
  readonly #clock: Clock;
  readonly #listeners: ((announcement: Announcement) => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #shards: readonly number[];
  #subscribed = false;
  #heartbeat: Heartbeat = { number: 0, sentAt: 0, published: new Set(), heard: new Set() };
  #completeSince: number | undefined;
  /** Every announcement before this time has arrived. */
  #completeUntil = 0;

  /**
   * @param subscriber a connection that is used for nothing else
   * @param appIds shown to `check`, see {@link Keys.app}
   */
  constructor(subscriber: Redis, commands: RedisClient, keys: Keys, clock: Clock, appIds: readonly string[] = []) {
    this.#subscriber = subscriber;
    this.#commands = commands;
    this.#keys = keys;
    this.#channel = keys.beats(randomUUID());
    this.#appChannels = appIds.map((appId) => keys.app(appId));
    this.#clock = clock;
    this.#shards = Array.from({ length: commands.isCluster ? SHARDS : 1 }, (_, shard) => shard);
    subscriber.on('ready', () => void this.#subscribe());
    commands.on('ready', () => this.#checkConnection());
    subscriber.on('close', () => {
      this.#subscribed = false;
      this.#completeSince = undefined;
    });
    subscriber.on('message', (channel: string, text: string) => {
      if (channel === this.#channel) this.#hearHeartbeat(text);
      else this.#hearAnnouncement(text);
    });
    this.#timer = setInterval(() => this.#checkConnection(), HEARTBEAT_MS);
    this.#timer.unref();
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#listeners.push(listener);
  }

  completeSince(): number | undefined {
    return this.#silentForMs() < SILENCE_MS ? this.#completeSince : undefined;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#subscriber.disconnect();
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#subscriber.subscribe(this.#keys.announcements, this.#channel, ...this.#appChannels);
      this.#subscribed = true;
      this.#completeUntil = this.#clock.now();
      this.#timer.refresh();
      this.#sendHeartbeat();
    } catch (error) {
      // A missing right stays missing on a new connection. The next check tries again.
      if (error instanceof ReplyError) this.#subscriber.emit('error', error);
      else this.#subscriber.disconnect(true);
    }
  }

  #checkConnection(): void {
    if (this.#subscriber.status !== 'ready') return;
    if (!this.#subscribed) void this.#subscribe();
    else if (this.#isDeaf()) this.#subscriber.disconnect(true);
    else this.#sendHeartbeat();
  }

  #sendHeartbeat(): void {
    const number = this.#heartbeat.number + 1;
    const heartbeat = { number, sentAt: this.#clock.now(), published: new Set<number>(), heard: new Set<number>() };
    this.#heartbeat = heartbeat;
    for (const shard of this.#shards) {
      runScript(this.#commands, 'beat', [this.#keys.due(shard)], [this.#channel, `${number} ${shard}`]).then(
        () => heartbeat.published.add(shard),
        // The heartbeat does not arrive, which completeSince() notices.
        () => undefined,
      );
    }
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
    return this.#clock.now() - this.#completeUntil;
  }

  #hearAnnouncement(text: string): void {
    const announcement = readAnnouncement(text, this.#clock.now());
    if (!announcement) return;
    for (const listener of this.#listeners) listener(announcement);
  }
}
