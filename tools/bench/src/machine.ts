import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { redisBinary } from '../../../test/support/redis-server.ts';
import { busyMs, LOAD_CORE, SERVER_CORE } from './cores.ts';
import { wrkBinary } from './wrk.ts';

const PACKAGES = ['fastify', 'ioredis', 'jose', 'undici', 'async-cache-dedupe'];
const WATCH_MS = 2_000;

/** Hardware and versions, by name, and how busy other processes keep both cores while the bench is idle. */
export async function describeMachine(): Promise<Record<string, string>> {
  const [{ model = 'unknown' } = {}] = cpus();
  const redis = execFileSync(redisBinary(), ['--version'], { encoding: 'utf8' });
  const wrk = spawnSync(wrkBinary(), ['--version'], { encoding: 'utf8' }).stdout;
  const busy = () => busyMs(SERVER_CORE) + busyMs(LOAD_CORE);
  const versionOf = (name: string) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version;
  const busyFrom = busy();
  await sleep(WATCH_MS);
  return {
    CPU: `${cpus().length} × ${model.trim()}`,
    Node: process.version,
    Redis: /v=(\S+)/.exec(redis)?.[1] ?? 'unknown',
    wrk: /^wrk (?:debian\/)?(\S+)/.exec(wrk)?.[1] ?? 'unknown',
    ...Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)])),
    'busy before': `${Math.round((100 * (busy() - busyFrom)) / (2 * WATCH_MS))} %`,
  };
}
