import { eventually } from './eventually.ts';
import { askRedis, type RedisServer, startRedis } from './redis-server.ts';

const SLOTS = 16_384;
const MASTERS = 3;

export interface RedisCluster {
  /** For REDIS_URL. */
  readonly url: string;
  /** The three masters at the start, then one replica of each in the same order. A failover does not change this. */
  readonly nodes: readonly RedisServer[];
  /** Resolves when every node except `dead` reports that all slots are served. */
  waitUntilServing(dead?: RedisServer): Promise<void>;
  close(): Promise<void>;
}

/**
 * Three masters with one replica each. A replica takes over about two seconds after its master dies. They end with the
 * test.
 * @param args additional arguments of redis-server, for every node
 */
export async function startRedisCluster(args: readonly string[] = []): Promise<RedisCluster> {
  const nodes: RedisServer[] = [];
  const close = async () => void (await Promise.all(nodes.map((node) => node.kill())));
  const waitUntilServing = async (dead?: RedisServer) => {
    for (const node of nodes) {
      if (node !== dead) await eventually(() => isServingAllSlots(node), { everyMs: 50 });
    }
  };
  const ofCluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--repl-diskless-sync-delay', '0'];
  // A node also listens on a second port. If that one is taken, too, Redis starts again on other ports.
  while (nodes.length < 2 * MASTERS) nodes.push(await startRedis({ args: [...ofCluster, ...args] }));
  await makeCluster(nodes);
  await waitUntilServing();
  const seeds = nodes.slice(0, MASTERS).map(({ port }) => `127.0.0.1:${port}`);
  return { url: `redis-cluster://${seeds.join(',')}`, nodes, waitUntilServing, close };
}

/** A cluster of one node, which refuses a script with keys in several slots, as a proxy of a cluster does. */
export async function startOneNode(): Promise<RedisServer> {
  const node = await startRedis({ args: ['--cluster-enabled', 'yes'] });
  await askRedis(node, (redis) => redis.call('CLUSTER', 'ADDSLOTSRANGE', 0, SLOTS - 1));
  await eventually(() => isServingAllSlots(node), { everyMs: 50 });
  return node;
}

async function makeCluster(nodes: readonly RedisServer[]): Promise<void> {
  const masters = nodes.slice(0, MASTERS);
  const share = Math.ceil(SLOTS / MASTERS);
  for (const [index, node] of nodes.entries()) {
    await askRedis(node, (redis) => redis.cluster('SET-CONFIG-EPOCH', index + 1));
    if (index < MASTERS) {
      const first = index * share;
      const slots = Array.from({ length: Math.min(share, SLOTS - first) }, (_, at) => first + at);
      await askRedis(node, (redis) => redis.cluster('ADDSLOTS', slots));
    }
    if (index > 0) await askRedis(node, (redis) => redis.cluster('MEET', '127.0.0.1', masters[0]?.port ?? 0));
  }
  for (const node of nodes) await eventually(() => reports(node, 'cluster_known_nodes', nodes.length));
  for (const [index, replica] of nodes.slice(MASTERS).entries()) {
    const master = masters[index] as RedisServer;
    const id = await askRedis(master, (redis) => redis.cluster('MYID'));
    await askRedis(replica, (redis) => redis.cluster('REPLICATE', id));
    await eventually(() => askRedis(replica, (redis) => redis.info('replication')).then(hasMaster));
  }
}

function hasMaster(replication: string): boolean {
  return replication.includes('master_link_status:up');
}

function isServingAllSlots(node: RedisServer): Promise<boolean> {
  return reports(node, 'cluster_state', 'ok');
}

async function reports(node: RedisServer, field: string, value: string | number): Promise<boolean> {
  const info = await askRedis(node, (redis) => redis.cluster('INFO'));
  return info.includes(`${field}:${value}\r\n`);
}
