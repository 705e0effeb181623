import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../judge/recording.ts';
import type { Chance } from '../support/chance.ts';
import type { ProxyFault } from '../support/fault-proxy.ts';
import { askRedis, type RedisServer } from '../support/redis-server.ts';
import type { RedisData, RedisTopology, SentinelRedis, SingleRedis } from './redis-under-test.ts';
import type { Replica } from './replica.ts';
import { untilReady, VENDOR_LATENCY_MS, type World } from './world.ts';

/** What each kind of fault may be, and how often it is planned. The weight of none: everywhere. */
const KINDS = {
  kill: { part: 'process', weight: 2 },
  terminate: { part: 'process', weight: 2 },
  freeze: { part: 'process', weight: 2 },
  clock: { part: 'clock', weight: 2 },
  vendor: { part: 'vendor', weight: 3, how: ['slow', 'failing', 'losing', 'too-frequent'] },
  link: { part: 'link', weight: { single: 4 }, how: ['cut', 'stall', 'lossy', 'delay'] },
  'redis-stall': {
    part: 'redis',
    weight: { single: 3, sentinel: 2, cluster: 2 },
    // The Sentinels and the nodes of a cluster may take the others for a crash.
    how: { single: ['pause', 'sleep', 'frozen'], sentinel: ['pause'], cluster: ['pause'] },
  },
  'redis-connections': { part: 'redis', weight: { single: 1, sentinel: 2, cluster: 2 }, how: ['normal', 'pubsub'] },
  /** Redis comes back with its data, with old ones, or with none. */
  'redis-crash': { part: 'redis', weight: { single: 2 }, how: ['all', 'old', 'none'] },
  failover: { part: 'redis', weight: { sentinel: 4 }, how: ['planned', 'planned', 'killed', 'frozen'] },
  'cluster-master': { part: 'redis', weight: { cluster: 4 }, how: ['killed', 'frozen'] },
} as const;

type FaultName = keyof typeof KINDS;
/** Faults of less than 1.5 s. The others last for up to 7 s. */
const SHORT: ReadonlySet<FaultName> = new Set(['redis-stall', 'redis-crash']);

/** One fault, as planned. */
export interface PlannedFault {
  readonly kind: FaultName;
  /** One of those of its kind. */
  readonly how?: string | undefined;
  /** Of the faults of one replica; with `cluster-master`, the number of the master. */
  readonly replica?: number;
  /** How long its cause lasts. */
  readonly forMs: number;
  readonly offsetMs?: number;
  /** How old the data are with which Redis comes back. */
  readonly ageMs?: number;
}

/** Decides by chance which fault comes next. */
export function planFault(chance: Chance, topology: RedisTopology): PlannedFault {
  const weights = Object.entries(KINDS).map(([name, { weight }]) => {
    return [
      name,
      typeof weight === 'number' ? weight : ((weight as Partial<Record<RedisTopology, number>>)[topology] ?? 0),
    ];
  });
  const kind = chance.weighted<FaultName>(Object.fromEntries(weights));
  const shortMs = Math.round(chance.between(200, 1_500));
  const longMs = Math.round(chance.between(500, 7_000));
  return {
    kind,
    replica: chance.whole(0, 2),
    forMs: SHORT.has(kind) || (kind === 'link' && chance.happens(0.5)) ? shortMs : longMs,
    how: planHow(chance, kind, topology),
    offsetMs: chance.pick([-1, 1]) * chance.whole(1, 10) * 1_000,
    ageMs: longMs,
  };
}

/** Chooses how a fault of this kind comes about. */
export function planHow(chance: Chance, kind: FaultName, topology: RedisTopology): string | undefined {
  const of = KINDS[kind];
  if (!('how' in of)) return undefined;
  const { how } = of;
  return chance.pick<string>('single' in how ? how[topology] : how);
}

const SLOW_VENDOR_MS = 3_000;
const VENDOR_FAULTS = {
  slow: { latencyMs: SLOW_VENDOR_MS },
  failing: { fault: 'http-500' },
  losing: { fault: 'cut-off' },
  'too-frequent': { fault: 'too-frequent' },
} as const;
const LINK_FAULTS: Readonly<Record<string, ProxyFault>> = {
  cut: { kind: 'refuse' },
  stall: { kind: 'stall' },
  lossy: { kind: 'hang' },
  delay: { kind: 'delay', ms: 150 },
};

/** Causes faults in a world and records them. Each part of the world has at most one fault at a time. */
export class Faults {
  readonly #world: World;
  readonly #busy = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Resolves when the fault is over. Does nothing if this part of the world already has a fault. */
  async cause(fault: PlannedFault): Promise<void> {
    const { part } = KINDS[fault.kind];
    const name = part === 'redis' || part === 'vendor' ? part : `${part} ${fault.replica}`;
    if (this.#busy.has(name)) return;
    this.#busy.add(name);
    try {
      await this.#cause(fault);
    } finally {
      this.#busy.delete(name);
    }
  }

  #cause(fault: PlannedFault): Promise<void> {
    const { kind, how = '', replica: index = 0, forMs, offsetMs = 0 } = fault;
    const { replicas, redis, vendor } = this.#world;
    const replica = replicas[index] as Replica;
    const link = redis.links[index];
    const during = `${how} for ${forMs} ms`;
    switch (kind) {
      case 'kill':
      case 'terminate':
        return this.#restart(kind, replica, forMs);
      case 'freeze':
        return this.#during({ kind, replica: index, description: during }, forMs, {
          begin: () => replica.freeze(),
          end: () => replica.thaw(),
        });
      case 'clock':
        return this.#during({ kind, replica: index, description: `${offsetMs} ms${during}`, offsetMs }, forMs, {
          begin: () => replica.setClockAhead(offsetMs),
          end: () => replica.setClockAhead(0),
        });
      case 'link':
        return this.#during({ kind, replica: index, description: during }, forMs, {
          begin: () => link?.set(LINK_FAULTS[how] as ProxyFault),
          end: () => link?.set({ kind: 'none' }),
        });
      case 'vendor':
        return this.#during({ kind, description: during }, forMs, {
          begin: () => vendor.configure(VENDOR_FAULTS[how as keyof typeof VENDOR_FAULTS]),
          end: () => vendor.configure({ latencyMs: VENDOR_LATENCY_MS, fault: 'none' }),
        });
      case 'redis-stall':
        return this.#stallRedis(how, forMs);
      case 'redis-connections':
        return this.#closeConnections(how);
      case 'redis-crash':
        return this.#crashRedis(fault);
      case 'failover':
      case 'cluster-master':
        return this.#loseMaster(fault);
    }
  }

  /** Records a fault from its beginning to its end. */
  async #during(
    about: Omit<Fault, 'from' | 'until'>,
    forMs: number,
    { begin, end }: { readonly begin: () => unknown; readonly end?: () => unknown },
  ): Promise<void> {
    const { history } = this.#world;
    const fault = history.fault(about, Number.POSITIVE_INFINITY);
    await begin();
    await sleep(forMs);
    await end?.();
    fault.until = history.now();
  }

  #restart(kind: 'kill' | 'terminate', replica: Replica, forMs: number): Promise<void> {
    return this.#during({ kind, replica: replica.index, description: `down for ${forMs} ms` }, forMs, {
      begin: () => replica[kind](),
      async end() {
        await replica.start();
        // Without Redis, it does not become ready.
        await untilReady([replica]).catch(() => undefined);
      },
    });
  }

  async #stallRedis(how: string, forMs: number): Promise<void> {
    const { redis, topology } = this.#world;
    const masters = await redis.masters();
    const [master] = masters;
    const pause = ['CLIENT', 'PAUSE', forMs, topology === 'single' ? 'ALL' : 'WRITE'] as const;
    const begin = {
      frozen: () => master.pause(),
      pause: () => Promise.all(masters.map((server) => askRedis(server, (client) => client.call(...pause)))),
      sleep: () => askRedis(master, (client) => client.call('DEBUG', 'SLEEP', forMs / 1_000)),
    }[how];
    if (!begin) throw new RangeError(`Redis cannot stall by ${how}`);
    await this.#during({ kind: 'redis-stall', description: `${how} for ${forMs} ms` }, how === 'sleep' ? 0 : forMs, {
      begin,
      end: () => how === 'frozen' && master.resume(),
    });
  }

  async #closeConnections(of: string): Promise<void> {
    const masters = await this.#world.redis.masters();
    const kill = ['CLIENT', 'KILL', 'TYPE', of, 'SKIPME', 'yes'] as const;
    await this.#during({ kind: 'redis-connections', description: `CLIENT KILL TYPE ${of}` }, 200, {
      begin: () => Promise.all(masters.map((server) => askRedis(server, (client) => client.call(...kill)))),
    });
  }

  async #crashRedis({ how = 'all', ageMs = 0, forMs }: PlannedFault): Promise<void> {
    const redis = this.#world.redis as SingleRedis;
    const dataOf = this.#world.history.now();
    if (how === 'old') {
      await redis.takeSnapshot();
      await sleep(ageMs);
    }
    const kind = how === 'all' ? 'redis-restart' : how === 'old' ? 'redis-old' : 'redis-empty';
    const description = `down for ${forMs} ms, with ${how} data`;
    await this.#during({ kind, description, ...(how === 'old' && { dataOf }) }, 0, {
      begin: () => redis.crash(how as RedisData, forMs),
    });
  }

  /** A failover by the Sentinels or the cluster, of a master that is well, was killed, or stands still. */
  async #loseMaster({ kind, how, replica = 0, forMs }: PlannedFault): Promise<void> {
    const { redis } = this.#world;
    const masters = await redis.masters();
    const former = masters[replica % masters.length] as RedisServer;
    const isPlanned = how === 'planned';
    const recorded = kind === 'cluster-master' ? kind : isPlanned ? 'failover-planned' : 'failover-forced';
    await this.#during({ kind: recorded, description: `master ${former.port}: ${how}` }, 0, {
      async begin() {
        if (how === 'killed') await former.kill();
        if (how === 'frozen') former.pause();
        if (isPlanned && !(await (redis as SentinelRedis).failOver())) return;
        await redis.untilReplaced(former).catch(() => undefined);
      },
    });
    if (!isPlanned) {
      await sleep(forMs);
      if (how === 'killed') await former.restart();
      else former.resume();
    }
    await redis.untilReplicated().catch(() => undefined);
  }
}
