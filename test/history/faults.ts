import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../judge/recording.ts';
import type { ProxyFault } from '../support/fault-proxy.ts';
import { askRedis } from '../support/redis-server.ts';
import type { PlannedFault } from './plan.ts';
import type { SentinelRedis, SingleRedis } from './redis-under-test.ts';
import type { Replica } from './replica.ts';
import { untilReady, VENDOR_LATENCY_MS, type World } from './world.ts';

type FaultOf<Kind extends PlannedFault['kind']> = Extract<PlannedFault, { kind: Kind }>;

const SLOW_VENDOR_MS = 3_000;

/** Causes faults in a world and records them. Each part of the world has at most one fault at a time. */
export class Faults {
  readonly #world: World;
  readonly #busy = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Resolves when the fault is over. Does nothing if this part of the world already has a fault. */
  async cause(fault: PlannedFault): Promise<void> {
    const part = partOf(fault);
    if (this.#busy.has(part)) return;
    this.#busy.add(part);
    try {
      await this.#cause(fault);
    } finally {
      this.#busy.delete(part);
    }
  }

  /** Notes the fault until the returned function is called. */
  #begin(fault: Omit<Fault, 'from' | 'until'>): () => void {
    const { history } = this.#world;
    const noted = history.fault(fault, Number.POSITIVE_INFINITY);
    return () => {
      noted.until = history.now();
    };
  }

  #cause(fault: PlannedFault): Promise<void> {
    switch (fault.kind) {
      case 'kill':
      case 'terminate':
        return this.#restart(fault.kind, fault);
      case 'freeze':
        return this.#freeze(fault);
      case 'clock':
        return this.#setClock(fault);
      case 'link':
        return this.#breakLink(fault);
      case 'redis-stall':
        return this.#stallRedis(fault);
      case 'redis-connections':
        return this.#closeConnections(fault);
      case 'redis-crash':
        return this.#crashRedis(fault);
      case 'failover':
        return this.#failOver(fault);
      case 'cluster-master':
        return this.#loseMaster(fault);
      case 'vendor':
        return this.#troubleVendor(fault);
    }
  }

  #replica(index: number): Replica {
    const replica = this.#world.replicas[index];
    if (!replica) throw new RangeError(`there is no replica ${index}`);
    return replica;
  }

  async #restart(kind: 'kill' | 'terminate', { replica: index, forMs }: { replica: number; forMs: number }) {
    const replica = this.#replica(index);
    const end = this.#begin({ kind, replica: index, description: `down for ${forMs} ms` });
    if (kind === 'kill') await replica.kill();
    else await replica.terminate();
    await sleep(forMs);
    await replica.start();
    // Without Redis, it does not become ready.
    await untilReady([replica]).catch(() => undefined);
    end();
  }

  async #freeze({ replica: index, forMs }: { replica: number; forMs: number }) {
    const replica = this.#replica(index);
    const end = this.#begin({ kind: 'freeze', replica: index, description: `for ${forMs} ms` });
    replica.freeze();
    await sleep(forMs);
    replica.thaw();
    end();
  }

  async #setClock({ replica: index, offsetMs, forMs }: FaultOf<'clock'>) {
    const replica = this.#replica(index);
    const description = `${offsetMs > 0 ? '+' : ''}${offsetMs} ms for ${forMs} ms`;
    const end = this.#begin({ kind: 'clock', replica: index, description, offsetMs });
    replica.setClockAhead(offsetMs);
    await sleep(forMs);
    replica.setClockAhead(0);
    end();
  }

  async #breakLink({ replica, how, forMs }: FaultOf<'link'>) {
    const link = this.#world.redis.links[replica];
    if (!link) return;
    const faults: Readonly<Record<typeof how, ProxyFault>> = {
      cut: { kind: 'refuse' },
      stall: { kind: 'stall' },
      lossy: { kind: 'hang' },
      delay: { kind: 'delay', ms: 150 },
    };
    const end = this.#begin({ kind: 'link', replica, description: `${how} for ${forMs} ms` });
    link.set(faults[how]);
    await sleep(forMs);
    link.set({ kind: 'none' });
    end();
  }

  async #stallRedis({ how, forMs }: FaultOf<'redis-stall'>) {
    const { redis } = this.#world;
    const masters = await redis.masters();
    const [master] = masters;
    const end = this.#begin({ kind: 'redis-stall', description: `${how} for ${forMs} ms` });
    if (how === 'frozen') master.pause();
    // The Sentinels and the nodes of a cluster may not take the pause for a crash.
    const scope = this.#world.topology === 'single' ? 'ALL' : 'WRITE';
    const pause = ['CLIENT', 'PAUSE', forMs, scope] as const;
    if (how === 'pause')
      await Promise.all(masters.map((server) => askRedis(server, (client) => client.call(...pause))));
    if (how === 'sleep') await askRedis(master, (client) => client.call('DEBUG', 'SLEEP', forMs / 1_000));
    else await sleep(forMs);
    if (how === 'frozen') master.resume();
    end();
  }

  async #closeConnections({ of, forMs }: FaultOf<'redis-connections'>) {
    const { redis } = this.#world;
    const masters = await redis.masters();
    const end = this.#begin({ kind: 'redis-connections', description: `CLIENT KILL TYPE ${of}` });
    const kill = ['CLIENT', 'KILL', 'TYPE', of, 'SKIPME', 'yes'] as const;
    await Promise.all(masters.map((server) => askRedis(server, (client) => client.call(...kill))));
    await sleep(forMs);
    end();
  }

  async #crashRedis({ data, ageMs, forMs }: FaultOf<'redis-crash'>) {
    const redis = this.#world.redis as SingleRedis;
    const dataOf = this.#world.history.now();
    if (data === 'old') {
      await redis.takeSnapshot();
      await sleep(ageMs);
    }
    const kind = data === 'all' ? 'redis-restart' : data === 'old' ? 'redis-old' : 'redis-empty';
    const description = `down for ${forMs} ms${data === 'old' ? `, with its data of ${seconds(dataOf)}` : ''}`;
    const end = this.#begin({ kind, description, ...(data === 'old' && { dataOf }) });
    await redis.crash(data, forMs);
    end();
  }

  async #failOver({ how, forMs }: FaultOf<'failover'>) {
    const redis = this.#world.redis as SentinelRedis;
    const [former] = await redis.masters();
    if (how === 'planned') {
      const end = this.#begin({ kind: 'failover-planned', description: 'SENTINEL FAILOVER' });
      if (await redis.failOver()) await redis.untilReplaced(former).catch(() => undefined);
      end();
    } else {
      const end = this.#begin({ kind: 'failover-forced', description: `the master was ${how}` });
      if (how === 'killed') await former.kill();
      else former.pause();
      await redis.untilReplaced(former).catch(() => undefined);
      end();
      await sleep(forMs);
      if (how === 'killed') await former.restart();
      else former.resume();
    }
    await redis.untilReplicated().catch(() => undefined);
  }

  async #loseMaster({ number, how, forMs }: FaultOf<'cluster-master'>) {
    const { redis } = this.#world;
    const masters = await redis.masters();
    const former = masters[number % masters.length] ?? masters[0];
    const end = this.#begin({ kind: 'cluster-master', description: `master ${former.port} was ${how}` });
    if (how === 'killed') await former.kill();
    else former.pause();
    await redis.untilReplaced(former).catch(() => undefined);
    end();
    await sleep(forMs);
    if (how === 'killed') await former.restart();
    else former.resume();
    await redis.untilReplicated().catch(() => undefined);
  }

  async #troubleVendor({ how, forMs }: FaultOf<'vendor'>) {
    const { vendor } = this.#world;
    const end = this.#begin({ kind: 'vendor', description: `${how} for ${forMs} ms` });
    if (how === 'slow') vendor.configure({ latencyMs: SLOW_VENDOR_MS });
    if (how === 'failing') vendor.configure({ fault: 'http-500' });
    if (how === 'losing') vendor.configure({ fault: 'cut-off' });
    if (how === 'too-frequent') vendor.configure({ fault: 'too-frequent' });
    await sleep(forMs);
    vendor.configure({ latencyMs: VENDOR_LATENCY_MS, fault: 'none' });
    end();
  }
}

/** Two faults of the same part of the world do not overlap. */
function partOf(fault: PlannedFault): string {
  switch (fault.kind) {
    case 'kill':
    case 'terminate':
    case 'freeze':
      return `process ${fault.replica}`;
    case 'clock':
      return `clock ${fault.replica}`;
    case 'link':
      return `link ${fault.replica}`;
    case 'vendor':
      return 'vendor';
    default:
      return 'redis';
  }
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
