import { once } from 'node:events';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { type Clock, systemClock } from '../../../../src/token/clock.ts';
import type { Announcement } from '../../../../src/token/ports.ts';
import { accountOf, subjectId } from '../../../../src/token/subject.ts';
import { eventually } from '../../../support/eventually.ts';
import { redisClient } from '../../../support/redis-client.ts';
import { openAnnouncements } from '../../../support/redis-connections.ts';
import { startRedis } from '../../../support/redis-server.ts';
import { TestClock } from '../../../support/test-clock.ts';

const ID = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });

/** Announcements, which may not be connected yet. */
async function open(clock: Clock = systemClock, url = inject('redisUrl')) {
  const publisher = new Redis(url, { lazyConnect: true, retryStrategy: () => 50 });
  publisher.on('error', () => undefined);
  await publisher.connect();
  onTestFinished(() => publisher.disconnect());
  const { keys, received: heard, completeSince: since, untilComplete: known, ...more } = openAnnouncements(url, clock);
  const publish = (text: string) => publisher.publish(keys.announcements, text);
  const unknown = (timeoutMs: number) => eventually(() => since() === undefined, { timeoutMs });
  return { ...more, heard, publish, since, known, unknown };
}

/** Announcements on a Redis of their own. */
async function openWithServer(clock?: Clock) {
  const server = await startRedis();
  return { server, ...(await open(clock, server.url)) };
}

describe('announcements', () => {
  test('arrive as they were published', async () => {
    const { heard, publish, known } = await open();
    await known();
    await publish(`saved ${ID} 1800000000001 /7-0`);
    await publish(`failed ${ID} 1800000000002 vendor_timeout,3,-7,new`);
    await publish(`failed ${ID} 1800000000006 vendor_busy,${'9'.repeat(16)},`);
    await publish(`removed ${ID} 1800000000003 7-0/7-1`);
    await publish(`suspected ${ID} 1800000000004 7-1/7-2`);
    await publish(`erased ${accountOf(ID)} 1800000000005 7-2/8-0`);
    await publish(`failed ${ID} 1800000000007 vendor_rejected,,`);
    await eventually(() => heard.length === 7);
    expect(heard).toEqual([
      { kind: 'saved', id: ID, generation: 1_800_000_000_001 },
      { kind: 'failed', id: ID, generation: 1_800_000_000_002, code: 'vendor_timeout', retryAfter: 3, vendorCode: -7 },
      { kind: 'failed', id: ID, generation: 1_800_000_000_006, code: 'vendor_busy', retryAfter: 3_600 },
      { kind: 'removed', id: ID, generation: 1_800_000_000_003 },
      { kind: 'suspected', id: ID, generation: 1_800_000_000_004 },
      { kind: 'erased', account: accountOf(ID), generation: 1_800_000_000_005 },
      { kind: 'failed', id: ID, generation: 1_800_000_000_007, code: 'vendor_rejected' },
    ]);
  });

  test('arrive at every subscriber', async () => {
    const { announcements, heard, publish, known } = await open();
    const second: Announcement[] = [];
    announcements.subscribe((announcement) => second.push(announcement));
    await known();
    await publish(`saved ${ID} 1 /1-0`);
    await eventually(() => heard.length === 1 && second.length === 1);
    expect(second).toEqual(heard);
  });

  test('arrive although the clock of the replica is set back by more than a year', async () => {
    const clock = new TestClock();
    const { heard, publish, known } = await open(clock);
    await known();
    clock.jump(-clock.now());
    const generation = Date.now();
    await publish(`removed ${ID} ${generation} /1-0`);
    await eventually(() => heard.length === 1);
    expect(heard).toEqual([{ kind: 'removed', id: ID, generation }]);
  });

  test('with an unknown text are ignored', async () => {
    const { heard, publish, known } = await open();
    await known();
    for (const text of [
      '',
      'hello',
      'saved',
      `saved ${ID}`,
      `saved ${ID} x /1-0`,
      `saved ${ID} 1`,
      `saved ${ID} 1 `,
      `saved ${ID} 1 /1-0 x`,
      `erased ${accountOf(ID)} 1`,
      `sold ${ID} 1 /1-0`,
      `failed ${ID} 1`,
      `failed ${ID} 1 new_code,,`,
      `failed ${ID} 1 vendor_timeout`,
      `failed ${ID} 1 vendor_timeout,${'9'.repeat(17)},`,
      `saved ${ID}x 1 /1-0`,
      `saved ${ID} ${Date.now() + 400 * 86_400_000} /1-0`,
    ]) {
      await publish(text);
    }
    await publish(`saved ${ID} 7 /1-0`);
    await eventually(() => heard.some(({ generation }) => generation === 7));
    expect(heard).toEqual([{ kind: 'saved', id: ID, generation: 7 }]);
  });
});

describe('the time since which announcements are complete', () => {
  test('is unknown before the connection, and known from the connection on', async () => {
    const { since, known } = await open();
    const before = systemClock.monotonic();
    expect(since()).toBeUndefined();
    const instant = await known();
    expect(instant).toBeGreaterThanOrEqual(before);
    expect(instant).toBeLessThanOrEqual(systemClock.monotonic());
  });

  test('stays the same while heartbeats arrive, even without announcements, and Redis is not reported as back', async () => {
    const clock = new TestClock();
    const { announcements, since, known } = await open(clock);
    const returns: unknown[] = [];
    announcements.onReturn((history) => returns.push(history));
    const instant = await known();
    // Three silent seconds mean a gap. A look that far ahead shows whether a heartbeat arrived since the last step.
    for (let step = 0; step < 3; step += 1) {
      clock.advance(1_500);
      expect(since()).toBe(instant);
      await eventually(() => {
        clock.advance(2_999);
        const heardAgain = since() === instant;
        clock.advance(-2_999);
        return heardAgain;
      });
    }
    expect(returns).toEqual([]);
  });

  test('is unknown after Redis was killed, and a later time when it is back', async () => {
    const { server, heard, publish, known, unknown } = await openWithServer();
    const first = await known();
    await server.kill();
    await unknown(2_000);
    await server.restart();
    expect(await known()).toBeGreaterThan(first);
    await eventually(() => publish(`saved ${ID} 2 /1-0`).then(() => heard.length > 0));
    expect(heard[0]).toMatchObject({ generation: 2 });
  });

  test('is unknown at most four seconds after Redis hangs, and a later time when it goes on', async () => {
    const { server, heard, publish, known, unknown } = await openWithServer();
    const first = await known();
    server.pause();
    await unknown(4_000);
    server.resume();
    expect(await known()).toBeGreaterThan(first);
    await publish(`saved ${ID} 3 /1-0`);
    await eventually(() => heard.length === 1);
  });

  test('is unknown after three seconds of silence, even while the connection is open', async () => {
    const clock = new TestClock();
    const { server, since, known } = await openWithServer(clock);
    const instant = await known();
    server.pause();
    clock.advance(2_999);
    expect(since()).toBe(instant);
    clock.advance(1);
    expect(since()).toBeUndefined();
    server.resume();
  });

  test('is unknown while Redis refuses the subscription, logs the reason, and is known once Redis accepts it', async () => {
    const { server, log, since, known, unknown } = await openWithServer();
    const first = await known();
    const operator = redisClient(server.url);
    await operator.call('ACL', 'SETUSER', 'default', 'resetchannels');
    await operator.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await unknown(2_000);
    await eventually(() => log.some((line) => line.includes('NOPERM')));
    expect(since()).toBeUndefined();
    await operator.call('ACL', 'SETUSER', 'default', 'allchannels');
    expect(await known()).toBeGreaterThan(first);
  });

  test('is known in the end when Redis hangs just after the connection', async () => {
    const { server, subscriber, since, known } = await openWithServer();
    await known();
    subscriber.prependOnceListener('ready', () => server.pause());
    subscriber.disconnect(true);
    await once(subscriber, 'ready');
    await new Promise((resolve) => subscriber.once('close', resolve));
    expect(since()).toBeUndefined();
    server.resume();
    await known();
  });

  test('is unknown after close, and the connection has ended', async () => {
    const { subscriber, announcements, known, unknown } = await open();
    await known();
    announcements.close();
    await unknown(1_000);
    expect(subscriber.status).toBe('end');
  });
});
