import { randomUUID } from 'node:crypto';
import { type Redis, ReplyError } from 'ioredis';
import type { Clock } from '../../token/clock.ts';
import { ERRORS, type ErrorCode } from '../../token/errors.ts';
import type { Announcement, AnnouncementFeed } from '../../token/ports.ts';
import type { AccountId, SubjectId } from '../../token/subject.ts';
import type { RedisClient } from './connection/clients.ts';
import { type Keys, SHARDS } from './keys.ts';
import { runScript } from './lua-scripts.ts';

const ANNOUNCEMENT = /^(saved|removed|failed) ([\w-]{44}) ([0-9]+)(?: ([a-z_]+))?$/;
const ERASURE = /^erased ([\w-]{22}) ([0-9]+)$/;

/** `undefined` where it is not understood: while replicas are being replaced, a newer one may say what we cannot know. */
function readAnnouncement(text: string): Announcement | undefined {
  const [, account, instant] = ERASURE.exec(text) ?? [];
  if (account) return { kind: 'erased', account: account as AccountId, generation: Number(instant) };
  const [, kind, id, generation, code] = ANNOUNCEMENT.exec(text) ?? [];
  const about = { id: id as SubjectId, generation: Number(generation) };
  if (kind === 'saved' || kind === 'removed') return { kind, ...about };
  return code && code in ERRORS ? { kind: 'failed', ...about, code: code as ErrorCode } : undefined;
}

const HEARTBEAT_MS = 1_000;
/** Silence after which announcements may have been missed. */
const SILENCE_MS = 3_000;
/** One beat that did not arrive: what was announced meanwhile may not have either. */
const GAP_MS = 1.9 * HEARTBEAT_MS;

/** Beats published together, from every place announcements come from. */
interface Round {
  readonly number: number;
  readonly sentAt: number;
  /** The shards whose beat Redis has taken, and those whose beat has arrived. */
  readonly published: Set<number>;
  readonly heard: Set<number>;
}

/**
 * Hears what the scripts publish, on a connection of its own, and knows since when nothing was missed: it publishes too,
 * the way the scripts do, and hears that.
 */
export class RedisAnnouncements implements AnnouncementFeed {
  readonly #subscriber: Redis;
  readonly #commands: RedisClient;
  readonly #keys: Keys;
  readonly #beats: string;
  readonly #clock: Clock;
  readonly #listeners: ((announcement: Announcement) => void)[] = [];
  readonly #heartbeat: NodeJS.Timeout;
  /** Each is another node's to announce on a cluster; elsewhere there is but one. */
  readonly #shards: readonly number[];
  #joined = false;
  #round: Round = { number: 0, sentAt: 0, published: new Set(), heard: new Set() };
  #since: number | undefined;
  /** Everything announced before this instant has arrived. */
  #provenAt = 0;

  /** @param subscriber a connection nobody else uses */
  constructor(subscriber: Redis, commands: RedisClient, keys: Keys, clock: Clock) {
    this.#subscriber = subscriber;
    this.#commands = commands;
    this.#keys = keys;
    this.#beats = keys.beats(randomUUID());
    this.#clock = clock;
    this.#shards = Array.from({ length: commands.isCluster ? SHARDS : 1 }, (_, shard) => shard);
    subscriber.on('ready', () => void this.#join());
    commands.on('ready', () => this.#look());
    subscriber.on('close', () => {
      this.#joined = false;
      this.#since = undefined;
    });
    subscriber.on('message', (channel: string, text: string) => {
      if (channel === this.#beats) this.#hearBeat(text);
      else this.#hear(text);
    });
    this.#heartbeat = setInterval(() => this.#look(), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#listeners.push(listener);
  }

  completeSince(): number | undefined {
    return this.#silentForMs() < SILENCE_MS ? this.#since : undefined;
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#subscriber.disconnect();
  }

  async #join(): Promise<void> {
    try {
      await this.#subscriber.subscribe(this.#keys.announcements, this.#beats);
      this.#joined = true;
      this.#provenAt = this.#clock.now();
      this.#heartbeat.refresh();
      this.#beat();
    } catch (error) {
      // A refusal stands until an operator mends it, so the next beat will do; a new connection would change nothing.
      if (error instanceof ReplyError) this.#subscriber.emit('error', error);
      else this.#subscriber.disconnect(true);
    }
  }

  #look(): void {
    if (this.#subscriber.status !== 'ready') return;
    if (!this.#joined) void this.#join();
    else if (this.#isDeaf()) this.#subscriber.disconnect(true);
    else this.#beat();
  }

  #beat(): void {
    const round = {
      number: this.#round.number + 1,
      sentAt: this.#clock.now(),
      published: new Set<number>(),
      heard: new Set<number>(),
    };
    this.#round = round;
    for (const shard of this.#shards) {
      runScript(this.#commands, 'beat', [this.#keys.due(shard)], [this.#beats, `${round.number} ${shard}`]).then(
        () => round.published.add(shard),
        // Where nothing can be published, nothing is missed for want of hearing; the silence is noticed all the same.
        () => undefined,
      );
    }
  }

  /** Whether Redis has taken what has not arrived, for so long that another connection should be tried. */
  #isDeaf(): boolean {
    const { published, heard } = this.#round;
    return this.#silentForMs() >= SILENCE_MS && [...published].some((shard) => !heard.has(shard));
  }

  #hearBeat(text: string): void {
    const [number, shard] = text.split(' ').map(Number);
    const { heard, sentAt } = this.#round;
    if (number !== this.#round.number || shard === undefined) return;
    heard.add(shard);
    if (heard.size < this.#shards.length) return;
    if (this.#since === undefined || sentAt - this.#provenAt >= GAP_MS) this.#since = sentAt;
    this.#provenAt = sentAt;
  }

  #silentForMs(): number {
    return this.#clock.now() - this.#provenAt;
  }

  #hear(text: string): void {
    const announcement = readAnnouncement(text);
    if (!announcement) return;
    for (const listener of this.#listeners) listener(announcement);
  }
}
