import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkStore } from '../../src/commands/checks/store.ts';
import { runScript } from '../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../src/token/clock.ts';
import { subjectId } from '../../src/token/subject.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { openAnnouncements, openCommands } from '../support/redis-connections.ts';
import { type RedisSentinels, startRedisSentinels } from '../support/redis-sentinel.ts';
import { askRedis, startRedis } from '../support/redis-server.ts';

const ID = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });

let sentinels: RedisSentinels;
beforeAll(async () => {
  sentinels = await startRedisSentinels();
});
afterAll(() => sentinels.close());

function findingsOf(url: string) {
  return checkStore({ url, keyPrefix: `test-${randomUUID()}`, encryptionKeys: [] }, systemClock);
}

describe('behind Sentinels', () => {
  test('the check command finds the master and no problem', async () => {
    const findings = await findingsOf(sentinels.url);
    expect(findings.filter(({ level }) => level === 'FAIL')).toEqual([]);
    expect(JSON.stringify(findings)).toContain(`connected to ${sentinels.url.split('/')[2]} (version `);
  });

  test('the check command and the log report a master name that the Sentinels do not know', async () => {
    const url = sentinels.url.replace('mymaster', 'unknown');
    expect(await findingsOf(url)).toContainEqual(
      expect.objectContaining({
        level: 'FAIL',
        detail: expect.objectContaining({ en: 'the Sentinels know no master of that name' }),
      }),
    );
    const { log } = openCommands(url);
    await eventually(() => log.some((line) => line.includes('No such master')));
  });

  test('the check command reports that no Sentinel answers', async () => {
    const findings = await findingsOf(`redis-sentinel://127.0.0.1:${await freePort()}/mymaster`);
    expect(findings[0]).toMatchObject({ level: 'FAIL', detail: { en: 'no Sentinel answers' } });
  });

  test('commands and announcements switch to the new master, and announcements count as complete from a later time', async () => {
    const { keys, commands, received, completeSince, untilComplete } = openAnnouncements(sentinels.url);
    const first = await untilComplete();
    await sentinels.master.kill();
    await eventually(() => completeSince() === undefined);
    expect(await untilComplete()).toBeGreaterThan(first);
    await runScript(commands, ['beat', [keys.changes(0)], [keys.announcements, `saved ${ID} 1 1-1`, '']]);
    await eventually(() => received.length === 1);
    expect(await askRedis(sentinels.replica, (redis) => redis.role())).toContain('master');
  });
});

test('if the server becomes a replica, the broker reconnects once to find the master, but not for each command', async () => {
  const redis = await startRedis();
  const { keys, commands } = openCommands(redis.url);
  let count = 0;
  commands.on('ready', () => {
    count += 1;
  });
  const connections = () => count;
  await eventually(() => connections() === 1);
  await askRedis(redis, (operator) => operator.replicaof('127.0.0.1', 1));
  await expect(commands.set(keys.probe(0), '1')).rejects.toThrow('READONLY');
  await eventually(() => connections() === 2);
  await expect(commands.set(keys.probe(0), '1')).rejects.toThrow('READONLY');
  await askRedis(redis, (operator) => operator.replicaof('NO', 'ONE'));
  expect(await commands.set(keys.probe(0), '1', 'PX', 1_000)).toBe('OK');
  expect(connections()).toBe(2);
});
