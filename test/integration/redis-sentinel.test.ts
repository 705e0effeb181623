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

const PATIENTLY = { timeoutMs: 20_000 };
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
  test('the check finds the master, and nothing to mend', async () => {
    const findings = await findingsOf(sentinels.url);
    expect(findings.filter(({ level }) => level === 'FAIL')).toEqual([]);
    expect(JSON.stringify(findings)).toContain(`${sentinels.url.split('/')[2]} without a password`);
  });

  test('a name the Sentinels do not know is said to be one, by the check and in the log', async () => {
    const url = sentinels.url.replace('mymaster', 'unknown');
    expect(await findingsOf(url)).toContainEqual(
      expect.objectContaining({ level: 'FAIL', detail: 'the Sentinels know no master of that name' }),
    );
    const { log } = open(url);
    await eventually(() => log.some((line) => line.includes('No such master')));
  });

  test('the check says when there is no Sentinel', async () => {
    const findings = await findingsOf(`redis-sentinel://127.0.0.1:${await freePort()}/mymaster`);
    expect(findings).toContainEqual(expect.objectContaining({ level: 'FAIL', detail: 'no Sentinel answers' }));
  });

  test('commands and announcements find the new master, and announcements are known from a later instant on', async () => {
    const { keys, commands, connectionLog } = open(sentinels.url);
    const subscriber = connectSubscriber(sentinels.url, commands, connectionLog);
    const announcements = new RedisAnnouncements(subscriber, commands, keys, systemClock);
    onTestFinished(() => announcements.close());
    const heard: Announcement[] = [];
    announcements.subscribe((announcement) => heard.push(announcement));
    const since = () => announcements.completeSince();
    const known = () => eventually(() => since() ?? Promise.reject(new Error('they may be missed')), PATIENTLY);
    const first = await known();
    await sentinels.master.kill();
    await eventually(() => since() === undefined, PATIENTLY);
    expect(await known()).toBeGreaterThan(first);
    await runScript(commands, 'beat', [keys.due(0)], [keys.announcements, `saved ${ID} 1`]);
    await eventually(() => heard.length === 1);
    expect(await askRedis(sentinels.replica, (redis) => redis.role())).toContain('master');
  });
});

test('who has become a replica is left for a new connection, which may lead to the new master, but not each time', async () => {
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
