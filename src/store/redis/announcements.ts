import { type Redis, ReplyError } from 'ioredis';
import type { Clock } from '../../token/clock.ts';
import { ERRORS, type ErrorCode } from '../../token/errors.ts';
import type { Announcement } from '../../token/ports.ts';
import type { SubjectId } from '../../token/subject.ts';

const HEARTBEAT_MS = 1_000;
/** Silence after which announcements may have been missed. */
const SILENCE_MS = 3_000;
const ANNOUNCEMENT = /^(saved|removed|failed) ([A-Za-z0-9_-]{44}) ([0-9]+)(?: ([a-z_]+))?$/;

/** Hears what the scripts publish, on a connection of its own, and knows since when nothing was missed. */
export class Announcements {
  readonly #subscriber: Redis;
  readonly #channel: string;
  readonly #clock: Clock;
  readonly #listeners: ((announcement: Announcement) => void)[] = [];
  readonly #heartbeat: NodeJS.Timeout;
  #since: number | undefined;
  #lastHeard = 0;

  /** @param subscriber a connection nobody else uses */
  constructor(subscriber: Redis, channel: string, clock: Clock) {
    this.#subscriber = subscriber;
    this.#channel = channel;
    this.#clock = clock;
    subscriber.on('ready', () => void this.#join());
    subscriber.on('close', () => {
      this.#since = undefined;
    });
    subscriber.on('message', (_channel: string, text: string) => this.#hear(text));
    this.#heartbeat = setInterval(() => void this.#beat(), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#listeners.push(listener);
  }

  announcedSince(): number | undefined {
    return this.#clock.now() - this.#lastHeard < SILENCE_MS ? this.#since : undefined;
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#subscriber.disconnect();
  }

  async #join(): Promise<void> {
    try {
      await this.#subscriber.subscribe(this.#channel);
      this.#lastHeard = this.#clock.now();
      this.#since = this.#lastHeard;
    } catch (error) {
      // A refusal stands until an operator mends it, so the next beat will do; a new connection would change nothing.
      if (error instanceof ReplyError) this.#subscriber.emit('error', error);
      else this.#subscriber.disconnect(true);
    }
  }

  /** Redis answers in order, so once it answers, everything announced before has arrived. */
  async #beat(): Promise<void> {
    if (this.#subscriber.status !== 'ready') return;
    if (this.#since === undefined) return this.#join();
    try {
      await this.#subscriber.ping();
      this.#lastHeard = this.#clock.now();
    } catch {
      this.#subscriber.disconnect(true);
    }
  }

  #hear(text: string): void {
    this.#lastHeard = this.#clock.now();
    const announcement = readAnnouncement(text);
    if (!announcement) return;
    for (const listener of this.#listeners) listener(announcement);
  }
}

/** `undefined` where it is not understood: while replicas are being replaced, a newer one may say what we cannot know. */
function readAnnouncement(text: string): Announcement | undefined {
  const [, kind, id, generation, code] = ANNOUNCEMENT.exec(text) ?? [];
  const about = { id: id as SubjectId, generation: Number(generation) };
  if (kind === 'saved' || kind === 'removed') return { kind, ...about };
  return code && code in ERRORS ? { kind: 'failed', ...about, code: code as ErrorCode } : undefined;
}
