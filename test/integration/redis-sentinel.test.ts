import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkStore } from '../../src/commands/checks/store.ts';
import { RedisAnnouncements } from '../../src/store/redis/announcements.ts';
import { connectRedis, connectSubscriber } from '../../src/store/redis/connection/connection.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import { runScript } from '../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { Announcement } from '../../src/token/ports.ts';
import { subjectId } from '../../src/token/subject.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { type RedisSentinels, startRedisSentinels } from '../support/redis-sentinel.ts';
import { askRedis, startRedis } from '../support/redis-server.ts';

const SLOW = { timeoutMs: 20_000 };
const ID = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });

let sentinels: RedisSentinels;
beforeAll(async () => {
  sentinels = await startRedisSentinels();
}, 60_000);
afterAll(() => sentinels.close());

function open(url: string) {
  const keys = new Keys(`test-${randomUUID()}`);
  const log: string[] = [];
  const write = (fields: object, message: string) => void log.push(JSON.stringify({ ...fields, message }));
  const connectionLog = { info: write, warn: write };
  const commands = connectRedis(url, 'commands', connectionLog);
  onTestFinished(() => commands.disconnect());
  return { keys, log, commands, connectionLog };
}

function findingsOf(url: string) {
  return checkStore({ url, keyPrefix: `test-${randomUUID()}`, encryptionKeys: [] }, systemClock);
}

describe('behind Sentinels', () => {
  test('the check command finds the master and no problem', async () => {
    const findings = await findingsOf(sentinels.url);
    expect(findings.filter(({ level }) => level === 'FAIL')).toEqual([]);
    expect(JSON.stringify(findings)).toContain(`${sentinels.url.split('/')[2]} without a password`);
  });

  test('the check command and the log report a master name that the Sentinels do not know', async () => {
    const url = sentinels.url.replace('mymaster', 'unknown');
    expect(await findingsOf(url)).toContainEqual(
      expect.objectContaining({ level: 'FAIL', detail: 'the Sentinels know no master of that name' }),
    );
    const { log } = open(url);
    await eventually(() => log.some((line) => line.includes('No such master')));
  });

  test('the check command reports that no Sentinel answers', async () => {
    const findings = await findingsOf(`redis-sentinel://127.0.0.1:${await freePort()}/mymaster`);
    expect(findings).toContainEqual(expect.objectContaining({ level: 'FAIL', detail: 'no Sentinel answers' }));
  });

  test('commands and announcements switch to the new master, and announcements count as complete from a later time', async () => {
    const { keys, commands, connectionLog } = open(sentinels.url);
    const subscriber = connectSubscriber(sentinels.url, commands, connectionLog);
    const announcements = new RedisAnnouncements(subscriber, commands, keys, systemClock);
    onTestFinished(() => announcements.close());
    const received: Announcement[] = [];
    announcements.subscribe((announcement) => received.push(announcement));
    const since = () => announcements.completeSince();
    const known = () => eventually(() => since() ?? Promise.reject(new Error('announcements may be incomplete')), SLOW);
    const first = await known();
    await sentinels.master.kill();
    await eventually(() => since() === undefined, SLOW);
    expect(await known()).toBeGreaterThan(first);
    await runScript(commands, 'beat', [keys.due(0)], [keys.announcements, `saved ${ID} 1`]);
    await eventually(() => received.length === 1);
    expect(await askRedis(sentinels.replica, (redis) => redis.role())).toContain('master');
  });
});

test('if the server becomes a replica, the broker reconnects once to find the master, but not for each command', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const { keys, log, commands } = open(redis.url);
  const connections = () => log.filter((line) => line.includes('connected to Redis')).length;
  await eventually(() => connections() === 1);
  await askRedis(redis, (operator) => operator.replicaof('127.0.0.1', 1));
  await expect(commands.set(keys.probe, '1')).rejects.toThrow('READONLY');
  await eventually(() => connections() === 2);
  await expect(commands.set(keys.probe, '1')).rejects.toThrow('READONLY');
  await askRedis(redis, (operator) => operator.replicaof('NO', 'ONE'));
  expect(await commands.set(keys.probe, '1', 'PX', 1_000)).toBe('OK');
  expect(connections()).toBe(2);
});
