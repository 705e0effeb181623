import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { redisBinary } from '../../test/support/redis-binary.ts';
import { wrkBinary } from './load/wrk-binary.ts';
import { ROOT } from './processes/repository.ts';

const OF_THE_BROKER = ['fastify', 'ioredis', 'jose', 'undici'];
const OF_THE_BENCH = ['async-cache-dedupe', 'bentocache', 'bullmq'];

/** What is measured on, and with what. */
export function describeMachine(): Record<string, string> {
  const [{ model = 'unknown' } = {}] = cpus();
  const redis = execFileSync(redisBinary(), ['--version'], { encoding: 'utf8' });
  const wrk = spawnSync(wrkBinary(), ['--version'], { encoding: 'utf8' }).stdout;
  const packages = [
    ...OF_THE_BROKER.map((name) => [name, versionOf('node_modules', name)]),
    ...OF_THE_BENCH.map((name) => [name, versionOf('bench/node_modules', name)]),
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
