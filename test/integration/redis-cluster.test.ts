import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkStore } from '../../src/commands/checks/store.ts';
import { mastersOf, type RedisClient } from '../../src/store/redis/connection/clients.ts';
import { Keys, SHARDS } from '../../src/store/redis/keys.ts';
import { runScript } from '../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../src/token/clock.ts';
import { accountId, subjectId } from '../../src/token/subject.ts';
import { claimLeases } from '../support/due-claims.ts';
import { eventually } from '../support/eventually.ts';
import { newKey, openRedisStore, saveToken } from '../support/filled-store.ts';
import { freePort } from '../support/free-port.ts';
import { makeDue } from '../support/make-due.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts';
import { openAnnouncements, openCommands } from '../support/redis-connections.ts';
import { askRedis } from '../support/redis-server.ts';

const ID = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
const EVERY_SHARD = Array.from({ length: SHARDS }, (_, shard) => shard);

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await startRedisCluster();
});
afterAll(() => cluster.close());

/** Runs a script in every shard. The shards are distributed over all three masters. */
function inEveryShard(commands: RedisClient, keys: Keys): Promise<unknown[]> {
  return Promise.all(EVERY_SHARD.map((shard) => runScript(commands, ['claimDue', [keys.due(shard)], [1_000, 1, '^']])));
}

const waitUntilWorking = (commands: RedisClient, keys: Keys) =>
  eventually(() => inEveryShard(commands, keys).then(() => true));

/** Finds an account whose keys are in this shard. */
function accountIn(shard: number, keys: Keys): string {
  for (let number = 0; ; number += 1) {
    if (keys.dueOf(accountId(`account-${number}`)) === keys.due(shard)) return `account-${number}`;
  }
}

/** Announces the number of each shard on that shard. */
function announce(commands: RedisClient, keys: Keys): Promise<unknown[]> {
  return Promise.all(
    EVERY_SHARD.map((shard) =>
      runScript(commands, ['beat', [keys.changes(shard)], [keys.announcements, `saved ${ID} ${shard} 1-1`, '']]),
    ),
  );
}

describe('on a Redis Cluster', () => {
  test('scripts run on every node, also after the nodes have lost their script caches', async () => {
    const { keys, commands } = openCommands(cluster.url);
    await waitUntilWorking(commands, keys);
    expect(mastersOf(commands)).toHaveLength(3);
    for (const node of cluster.nodes) await askRedis(node, (redis) => redis.script('FLUSH'));
    expect(await inEveryShard(commands, keys)).toHaveLength(SHARDS);
  });

  test('the check command finds no problem, and reports a cluster that is down', async () => {
    const settings = { url: cluster.url, keyPrefix: `test-${randomUUID()}`, encryptionKeys: [] };
    const findings = await checkStore(settings, systemClock);
    expect(findings.filter(({ level }) => level === 'FAIL')).toEqual([]);
    const url = `redis-cluster://:canary@127.0.0.1:${await freePort()},127.0.0.1:${await freePort()}`;
    const [finding] = await checkStore({ ...settings, url }, systemClock);
    expect(finding).toMatchObject({
      level: 'FAIL',
      detail: { en: 'no node of the cluster answers' },
      fix: { en: expect.stringMatching(/\?tls=true, and set NODE_EXTRA_CA_CERTS/) },
    });
    expect(JSON.stringify(finding)).not.toContain('canary');
  });

  test('a node that dies while a slot moves to it ends no process', async () => {
    const broken = await startRedisCluster();
    const { keys, commands } = openCommands(broken.url);
    await waitUntilWorking(commands, keys);
    const nodes = await Promise.all(
      broken.nodes.map(async (node) => ({ node, id: await askRedis(node, (redis) => redis.cluster('MYID')) })),
    );
    const [from, to] = nodes;
    if (!from || !to) throw new Error('there are no nodes');
    // The first node has the slots up to 5461, and with them this shard.
    const due = keys.due(11);
    const slot = await askRedis(from.node, (redis) => redis.cluster('KEYSLOT', due));
    await askRedis(to.node, (redis) => redis.cluster('SETSLOT', slot, 'IMPORTING', from.id));
    await askRedis(from.node, (redis) => redis.cluster('SETSLOT', slot, 'MIGRATING', to.id));
    // ioredis asks the other node, which has stopped, and so waits for its answer.
    to.node.pause();
    const claim = runScript(commands, ['claimDue', [due], [1_000, 1, '^']]).catch((error: Error) => error);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await to.node.kill();
    // A rejection without a handler would end a replica. It fails this run.
    expect(await claim).toBeDefined();
  }, 30_000);

  test('replicas notice that a single node has lost its data, also one that only heard of the changes', async () => {
    const keyPrefix = `loss-${randomUUID()}`;
    const keys = new Keys(keyPrefix);
    const [writer, reader] = [
      await openRedisStore(cluster.url, keyPrefix, []),
      await openRedisStore(cluster.url, keyPrefix, []),
    ];
    const lost = [writer, reader].map((store) => {
      const returns: string[] = [];
      store.health.onReturn((history) => void returns.push(history));
      return () => expect(returns.filter((one) => one !== 'same')).toEqual(['lost']);
    });
    let heard = 0;
    reader.announcements.subscribe(({ kind }) => {
      if (kind === 'saved') heard += 1;
    });
    await eventually(() => expect(reader.announcements.completeSince()).toBeDefined());
    for (const shard of EVERY_SHARD) {
      await saveToken(writer, { app: 'default', unionId: accountIn(shard, keys), uniqueId: 'phone' });
    }
    await eventually(() => expect(heard).toBe(SHARDS));
    const [node] = cluster.nodes;
    if (!node) throw new Error('there is no node');
    await askRedis(node, (redis) => redis.flushall());
    for (const isLost of lost) await eventually(isLost, { timeoutMs: 10_000 });
  });

  test.each(['yes', 'no'])(
    'the check command says that a part of the cluster is down, with cluster-require-full-coverage %s',
    async (fullCoverage) => {
      const broken = await startRedisCluster(['--cluster-require-full-coverage', fullCoverage]);
      const settings = { url: broken.url, keyPrefix: 'sdkt', encryptionKeys: [] };
      // The first is a master, the other one its replica. So nobody takes over.
      for (const index of [1, 4]) await broken.nodes[index]?.kill();
      const failures = async () => (await checkStore(settings, systemClock)).filter(({ level }) => level === 'FAIL');
      const down = { detail: { en: expect.stringContaining('the cluster is not ready') } };
      // Before the other nodes notice it, and afterwards.
      expect(await failures()).toMatchObject([down]);
      const [alive] = broken.nodes;
      if (!alive) throw new Error('there is no node');
      await eventually(() =>
        askRedis(alive, (redis) => redis.cluster('INFO')).then((info) => /cluster_slots_fail:[1-9]/.test(info)),
      );
      expect(await failures()).toMatchObject([down]);
    },
    60_000,
  );

  test('the check command names the scheme for a cluster if the URL names one node, whichever it is', async () => {
    for (const { port } of cluster.nodes.slice(0, 3)) {
      const settings = { url: `redis://127.0.0.1:${port}`, keyPrefix: 'sdkt', encryptionKeys: [] };
      const findings = await checkStore(settings, systemClock);
      expect(findings).toContainEqual(
        expect.objectContaining({
          level: 'FAIL',
          fix: expect.objectContaining({ en: expect.stringContaining('redis-cluster://') }),
        }),
      );
    }
  });

  test('commands follow a slot that moves to another node', async () => {
    const { keys, commands } = openCommands(cluster.url);
    await waitUntilWorking(commands, keys);
    const [from, to] = [cluster.nodes[0], cluster.nodes[1]];
    if (!from || !to) throw new Error('the cluster has no nodes');
    const [fromId, toId] = await Promise.all(
      [from, to].map((node) => askRedis(node, (redis) => redis.cluster('MYID'))),
    );
    const slots = await Promise.all(
      EVERY_SHARD.map((shard) => askRedis(from, (redis) => redis.cluster('KEYSLOT', keys.due(shard)))),
    );
    const shard = slots.findIndex((slot) => slot < 16_384 / 3);
    const [key, slot] = [keys.due(shard), slots[shard] ?? 0];
    await commands.set(key, 'kept');
    await askRedis(to, (redis) => redis.cluster('SETSLOT', slot, 'IMPORTING', fromId ?? ''));
    await askRedis(from, (redis) => redis.cluster('SETSLOT', slot, 'MIGRATING', toId ?? ''));
    await askRedis(from, (redis) => redis.migrate('127.0.0.1', to.port, key, 0, 1_000));
    expect(await commands.get(key)).toBe('kept');
    for (const node of [to, from]) await askRedis(node, (redis) => redis.cluster('SETSLOT', slot, 'NODE', toId ?? ''));
    expect(await commands.get(key)).toBe('kept');
    await commands.del(key);
    expect(await inEveryShard(commands, keys)).toHaveLength(SHARDS);
  });

  test('the broker receives announcements of every node', async () => {
    const { keys, commands, received, untilComplete } = openAnnouncements(cluster.url);
    await untilComplete();
    await announce(commands, keys);
    await eventually(() => received.length === SHARDS);
    expect(received.map(({ generation }) => generation).sort((one, other) => one - other)).toEqual(EVERY_SHARD);
  });

  test('after one node hangs, announcements count as complete from a later time, although other nodes continued', async () => {
    const { subscriber, untilComplete, completeSince } = openAnnouncements(cluster.url);
    await untilComplete();
    for (const node of cluster.nodes) {
      await askRedis(node, (redis) => redis.config('SET', 'cluster-require-full-coverage', 'no'));
    }
    // Skip the subscribed node, so that announcements of the other nodes still arrive.
    for (const node of cluster.nodes.slice(0, 3).filter(({ port }) => port !== subscriber.options.port)) {
      const before = await untilComplete();
      node.pause();
      await eventually(() => completeSince() !== before).finally(() => node.resume());
      expect(await untilComplete()).toBeGreaterThan(before);
      await cluster.waitUntilServing();
    }
  });

  test('if the subscribed node hangs, the broker subscribes to another node and receives its announcements', async () => {
    const { keys, commands, subscriber, received, untilComplete, completeSince } = openAnnouncements(cluster.url);
    const first = await untilComplete();
    const { port } = subscriber.options;
    const node = cluster.nodes.find((candidate) => candidate.port === port);
    node?.pause();
    onTestFinished(() => node?.resume());
    await eventually(() => completeSince() === undefined);
    await waitUntilWorking(commands, keys);
    expect(await untilComplete()).toBeGreaterThan(first);
    expect(subscriber.options.port).not.toBe(port);
    await announce(commands, keys);
    await eventually(() => received.length === SHARDS);
    node?.resume();
    await cluster.waitUntilServing();
  });

  test('a master that hangs does not block claims on the other masters', async () => {
    const keyPrefix = `test-${randomUUID()}`;
    const keys = new Keys(keyPrefix);
    const store = await openRedisStore(cluster.url, keyPrefix, [newKey('k1')], {});
    const accounts = EVERY_SHARD.map((shard) => accountIn(shard, keys));
    for (const unionId of accounts) {
      const subject = { app: 'default', unionId, uniqueId: 'phone' };
      await saveToken(store, subject);
      await makeDue(store, subjectId(subject), systemClock.now());
    }
    const roles = await Promise.all(cluster.nodes.map((node) => askRedis(node, (each) => each.role())));
    const hung = cluster.nodes.find((_, index) => roles[index]?.[0] === 'master');
    if (!hung) throw new Error('the cluster has no master');
    const ranges = (await askRedis(hung, (each) => each.cluster('SLOTS'))).filter(
      ([, , node]) => node?.[1] === hung.port,
    );
    const isElsewhere = async (shard: number): Promise<boolean> => {
      const slot = await askRedis(hung, (each) => each.cluster('KEYSLOT', keys.due(shard)));
      return !ranges.some(([from, to]) => from <= slot && slot <= to);
    };
    const answers = await Promise.all(EVERY_SHARD.map(isElsewhere));
    const elsewhere = EVERY_SHARD.filter((shard) => answers[shard]);
    expect(elsewhere.length).toBeGreaterThan(0);
    expect(elsewhere.length).toBeLessThan(SHARDS);
    hung.pause();
    onTestFinished(() => hung.resume());
    const { claims } = await claimLeases(store, 2 * SHARDS, 2_000);
    const claimed = claims.map(({ record }) => accounts.indexOf(record.subject.unionId));
    expect(claimed.sort((a, b) => a - b)).toEqual(elsewhere);
    hung.resume();
    await cluster.waitUntilServing();
  });

  test('a node that crashes is logged with its address, and scripts work on all shards again after the failover', async () => {
    const { keys, log, commands } = openCommands(cluster.url);
    await waitUntilWorking(commands, keys);
    const roles = await Promise.all(cluster.nodes.map((node) => askRedis(node, (redis) => redis.role())));
    const victim = cluster.nodes.find((_, index) => roles[index]?.[0] === 'master');
    await victim?.kill();
    await expect(inEveryShard(commands, keys)).rejects.toThrow();
    await cluster.waitUntilServing(victim);
    await waitUntilWorking(commands, keys);
    const failures = log.filter((line) => line.includes('a node of the Redis Cluster failed'));
    expect(failures[0]).toContain('ECONNREFUSED');
    // By the address, the log of the service has one line of a node in 10 s.
    for (const line of failures) expect(line).toContain(`"node":"127.0.0.1:${victim?.port}"`);
  });
});
