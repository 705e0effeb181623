import type { Redis } from 'ioredis';
import type { Clock } from '../../token/clock.ts';
import type { ErrorCode } from '../../token/errors.ts';
import type { Announcement } from '../../token/ports.ts';
import type { SubjectId } from '../../token/subject.ts';

const HEARTBEAT_MS = 1_000;
/** Silence after which announcements may have been missed. */
const SILENCE_MS = 3_000;

/** Hears what the scripts publish, on a connection of its own, and knows since when nothing was missed. */
export class Announcements {
  readonly #subscriber: Redis;
  readonly #clock: Clock;
  readonly #listeners: ((announcement: Announcement) => void)[] = [];
  readonly #heartbeat: NodeJS.Timeout;
  #since: number | undefined;
  #lastHeard = 0;

  /** @param subscriber a connection nobody else uses */
  constructor(subscriber: Redis, channel: string, clock: Clock) {
    this.#subscriber = subscriber;
    this.#clock = clock;
    subscriber.on('ready', () => void this.#join(channel));
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

  async #join(channel: string): Promise<void> {
    try {
      await this.#subscriber.subscribe(channel);
      this.#lastHeard = this.#clock.now();
      this.#since = this.#lastHeard;
    } catch {
      this.#subscriber.disconnect(true);
    }
  }

  /** Redis answers in order, so once it answers, everything announced before has arrived. */
  async #beat(): Promise<void> {
    if (this.#since === undefined) return;
    try {
      await this.#subscriber.ping();
      this.#lastHeard = this.#clock.now();
    } catch {
      this.#subscriber.disconnect(true);
    }
  }

  #hear(text: string): void {
    this.#lastHeard = this.#clock.now();
    const [kind, id, generation, code] = text.split(' ');
    const about = { id: id as SubjectId, generation: Number(generation) };
    const announcement: Announcement =
      kind === 'failed'
        ? { kind, ...about, code: code as ErrorCode }
        : { kind: kind === 'saved' ? 'saved' : 'removed', ...about };
    for (const listener of this.#listeners) listener(announcement);
  }
}
