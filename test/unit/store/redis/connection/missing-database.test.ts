import { describe, expect, type TestContext, test } from 'vitest';
import { checkStore } from '../../../../../src/commands/checks/store.ts';
import { rekey } from '../../../../../src/commands/rekey.ts';
import { createRedisStore } from '../../../../../src/store/redis/redis-store.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { accountId, subjectId } from '../../../../../src/token/subject.ts';
import { captureLog } from '../../../../support/captured-log.ts';
import { eventually } from '../../../../support/eventually.ts';
import { keyRing, newKey, openRedisStore, saveToken } from '../../../../support/filled-store.ts';
import { askRedis, startRedis } from '../../../../support/redis-server.ts';
import { silentObserver } from '../../../../support/silent-observer.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const KEY = newKey('k');

/** A Redis with data in database 0, and a URL with another database that cannot be selected. */
async function withoutDatabase(why: string, { onTestFinished }: TestContext) {
  const server = await startRedis({ args: ['--databases', '2'] });
  onTestFinished(() => server.kill());
  await askRedis(server, (redis) => redis.acl('SETUSER', 'broker', 'on', '>secret', '~*', '&*', '+@all', '-select'));
  const store = await openRedisStore(server.url, 'sdkt', [KEY]);
  await saveToken(store, SUBJECT);
  await store.close();
  const url = why === 'no such database' ? `${server.url}/2` : `redis://broker:secret@127.0.0.1:${server.port}/1`;
  return { server, url };
}

// `rekey` waits for 10 s. Each test has a Redis of its own, so they wait at the same time.
describe.concurrent.each(['no such database', 'no right to select it'])(
  'a database that cannot be selected: %s',
  (why) => {
    test('the store does not use another one, and the log says why', async (context) => {
      const { server, url } = await withoutDatabase(why, context);
      const log = captureLog('info');
      const linesOf = (role: string) => log.lines().filter((line) => line['role'] === role);
      const store = createRedisStore({
        url,
        keyPrefix: 'sdkt',
        encryptionKeys: [KEY],
        terminalsPerAccount: 20,
        observer: silentObserver,
        clock: systemClock,
        log: log.logger,
      });
      context.onTestFinished(() => store.close());
      for (const role of ['announcements', 'commands']) {
        await eventually(() => expect(linesOf(role).length).toBeGreaterThan(1));
      }
      const reason = expect.stringContaining('the database of REDIS_URL cannot be selected');
      for (const line of log.lines()) expect(Object.values(line)).toContainEqual(reason);
      await expect(store.health.ping()).rejects.toMatchObject({ code: 'store_unavailable' });
      await expect(store.terminals.read(subjectId(SUBJECT))).rejects.toMatchObject({ code: 'store_unavailable' });
      await expect(store.terminals.remove(subjectId(SUBJECT))).rejects.toMatchObject({ code: 'store_unavailable' });
      expect(store.announcements.completeSince()).toBeUndefined();
      expect(await askRedis(server, (redis) => redis.pubsub('CHANNELS', 'sdkt:*'))).toEqual([]);
    });

    test('check fails and says so', async (context) => {
      const { url } = await withoutDatabase(why, context);
      const redis = { url, keyPrefix: 'sdkt', encryptionKeys: [KEY] };
      const [result] = await checkStore(redis, systemClock);
      expect(result).toMatchObject({ name: { en: 'Redis' }, level: 'FAIL' });
      expect(JSON.stringify(result)).toContain('cannot be selected');
    });

    test('rekey fails and says so, and changes nothing in database 0', async (context) => {
      const { server, url } = await withoutDatabase(why, context);
      const account = `sdkt:*:a:${accountId(SUBJECT.unionId)}`;
      const dump = () => askRedis(server, async (redis) => redis.hgetall((await redis.keys(account))[0] ?? ''));
      const before = await dump();
      const env = { REDIS_URL: url, TOKEN_ENCRYPTION_KEYS: keyRing(newKey('new'), KEY) };
      const out: string[] = [];
      const ended = rekey([], { env, out: (line: string) => void out.push(line) } as never);
      await expect(ended).rejects.toThrow('the database of REDIS_URL cannot be selected');
      expect(await dump()).toEqual(before);
    });
  },
);
