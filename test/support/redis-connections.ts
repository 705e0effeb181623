import { randomUUID } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { RedisAnnouncements } from '../../src/store/redis/announcements.ts';
import { RedisCommands } from '../../src/store/redis/connection/commands.ts';
import { connectRedis, connectSubscriber } from '../../src/store/redis/connection/connection.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import { KnownChanges } from '../../src/store/redis/known-changes.ts';
import { type Clock, systemClock } from '../../src/token/clock.ts';
import type { Announcement } from '../../src/token/ports.ts';
import { eventually } from './eventually.ts';
import { silentObserver } from './silent-observer.ts';

/** Connects to Redis like the broker, with new keys, and collects the log lines. The end of the test disconnects. */
export function openCommands(url: string) {
  const keys = new Keys(`test-${randomUUID()}`);
  const log: string[] = [];
  const write = (fields: object, message: string) => void log.push(JSON.stringify({ ...fields, message }));
  const connectionLog = { info: write, warn: write };
  const commands = connectRedis(url, 'commands', connectionLog);
  onTestFinished(() => commands.disconnect());
  return { keys, log, commands, connectionLog };
}

/** Like {@link openCommands}, and also subscribes to the announcements, with the parts that a store shares with them. */
export function openAnnouncements(url: string, clock: Clock = systemClock) {
  const { keys, log, commands, connectionLog } = openCommands(url);
  const subscriber = connectSubscriber(url, commands, connectionLog);
  const redis = new RedisCommands(commands, clock, silentObserver);
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const context = { redis, keys, changes: new KnownChanges(keys), clock, log: silent, observer: silentObserver };
  const announcements = new RedisAnnouncements(context, subscriber, commands);
  onTestFinished(() => announcements.close());
  const received: Announcement[] = [];
  announcements.subscribe((announcement) => received.push(announcement));
  const completeSince = () => announcements.completeSince();
  /** Waits until the announcements are complete. Returns the time since when they are. */
  const untilComplete = () =>
    eventually(() => completeSince() ?? Promise.reject(new Error('announcements may be incomplete')));
  return { keys, log, commands, subscriber, announcements, received, completeSince, untilComplete };
}
