import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask } from './ask-redis.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { type RedisServer, startRedis } from './redis-server.ts';

const SLOTS = 16_384;
const MASTERS = 3;

export interface RedisCluster {
  /** For REDIS_URL. */
  readonly url: string;
  /** Three masters, and behind them a replica for each in the same order, as they were at the start. */
  readonly nodes: readonly RedisServer[];
  /** Resolves when every node but `dead` says that all slots are served. */
  whole(dead?: RedisServer): Promise<void>;
  close(): Promise<void>;
}

/**
 * Three masters and a replica for each, which takes over some two seconds after its master has died.
 * @param args more of redis-server's own, for every node
 */
export async function startRedisCluster(args: readonly string[] = []): Promise<RedisCluster> {
  const dir = await mkdtemp(join(tmpdir(), 'redis-cluster-'));
  const nodes: RedisServer[] = [];
  const close = async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await rm(dir, { recursive: true, force: true });
  };
  const whole = async (dead?: RedisServer) => {
    for (const node of nodes) {
      if (node !== dead) await eventually(() => isWhole(node), { timeoutMs: 15_000, everyMs: 50 });
    }
  };
  try {
    while (nodes.length < 2 * MASTERS) nodes.push(await startNode(dir, args));
    await makeCluster(nodes);
    await whole();
  } catch (error) {
    await close();
    throw error;
  }
  const seeds = nodes.slice(0, MASTERS).map(({ port }) => `127.0.0.1:${port}`);
  return { url: `redis-cluster://${seeds.join(',')}`, nodes, whole, close };
}

async function startNode(parent: string, more: readonly string[]): Promise<RedisServer> {
  const port = await freePort();
  // A replica keeps what its master sends it.
  const dir = join(parent, `${port}`);
  await mkdir(dir, { recursive: true });
  const config = ['--cluster-enabled', 'yes'];
  const quick = ['--cluster-node-timeout', '1000', '--repl-diskless-sync-delay', '0'];
  try {
    return await startRedis({ port, dir, args: [...config, ...quick, ...more] });
  } catch (error) {
    // Only one of the two ports was known to be free.
    if (!String(error).includes('in use')) throw error;
    return startNode(parent, more);
  }
}

async function makeCluster(nodes: readonly RedisServer[]): Promise<void> {
  const masters = nodes.slice(0, MASTERS);
  const share = Math.ceil(SLOTS / MASTERS);
  for (const [index, node] of nodes.entries()) {
    await ask(node, (redis) => redis.cluster('SET-CONFIG-EPOCH', index + 1));
    if (index < MASTERS) {
      const first = index * share;
      const slots = Array.from({ length: Math.min(share, SLOTS - first) }, (_, at) => first + at);
      await ask(node, (redis) => redis.cluster('ADDSLOTS', slots));
    }
    if (index > 0) await ask(node, (redis) => redis.cluster('MEET', '127.0.0.1', masters[0]?.port ?? 0));
  }
  for (const node of nodes) await eventually(() => says(node, 'cluster_known_nodes', nodes.length));
  for (const [index, replica] of nodes.slice(MASTERS).entries()) {
    const master = masters[index] as RedisServer;
    const id = await ask(master, (redis) => redis.cluster('MYID'));
    await ask(replica, (redis) => redis.cluster('REPLICATE', id));
    await eventually(() => ask(replica, (redis) => redis.info('replication')).then(hasMaster), { timeoutMs: 15_000 });
  }
}

function hasMaster(replication: string): boolean {
  return replication.includes('master_link_status:up');
}

function isWhole(node: RedisServer): Promise<boolean> {
  return says(node, 'cluster_state', 'ok');
}

async function says(node: RedisServer, field: string, value: string | number): Promise<boolean> {
  const info = await ask(node, (redis) => redis.cluster('INFO'));
  return info.includes(`${field}:${value}\r\n`);
}
