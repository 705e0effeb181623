import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { redisBinary } from '../../test/support/redis-server.ts';
import { wrkBinary } from './load/wrk.ts';
import { busyMs, LOAD_CORE, SERVER_CORE } from './processes/cores.ts';
import { ROOT } from './processes/repository.ts';

const BROKER_PACKAGES = ['fastify', 'ioredis', 'jose', 'undici'];
const BENCH_PACKAGES = ['async-cache-dedupe', 'bentocache', 'bullmq'];

/** Hardware and versions, by name. */
export function describeMachine(): Record<string, string> {
  const [{ model = 'unknown' } = {}] = cpus();
  const redis = execFileSync(redisBinary(), ['--version'], { encoding: 'utf8' });
  const wrk = spawnSync(wrkBinary(), ['--version'], { encoding: 'utf8' }).stdout;
  const packages = [
    ...BROKER_PACKAGES.map((name) => [name, versionOf('node_modules', name)]),
    ...BENCH_PACKAGES.map((name) => [name, versionOf('bench/node_modules', name)]),
  ];
  return {
    CPU: `${cpus().length} × ${model.trim()}`,
    Node: process.version,
    Redis: /v=(\S+)/.exec(redis)?.[1] ?? 'unknown',
    wrk: /^wrk (?:debian\/)?(\S+)/.exec(wrk)?.[1] ?? 'unknown',
    ...Object.fromEntries(packages),
  };
}

function versionOf(folder: string, name: string): string {
  return JSON.parse(readFileSync(join(ROOT, folder, name, 'package.json'), 'utf8')).version;
}

const WATCH_MS = 2_000;
const CORES = [SERVER_CORE, LOAD_CORE];

/** Utilization of both cores by other processes while the bench is idle: 0 is idle, 1 is fully busy. */
export async function otherLoad(): Promise<number> {
  const before = CORES.map(busyMs);
  const startedAt = performance.now();
  await sleep(WATCH_MS);
  const shares = CORES.map((core, index) => (busyMs(core) - (before[index] ?? 0)) / (performance.now() - startedAt));
  return shares.reduce((sum, share) => sum + share, 0) / CORES.length;
}
