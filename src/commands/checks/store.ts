import type { RedisConfig } from '../../config/config.ts';
import { probeRedis } from '../../store/redis/redis-probe.ts';
import type { Clock } from '../../token/clock.ts';
import { type Finding, fail, ok, warn } from './finding.ts';
import { OLDEST_REDIS, redisTrouble } from './redis-trouble.ts';

const CONNECT_MS = 4_000;

/** Where tokens are kept: whether Redis is there, lets us in, and keeps what it is given. */
export async function checkStore(redis: RedisConfig | undefined, clock: Clock): Promise<Finding[]> {
  if (!redis) {
    const detail = 'REDIS_URL is not set: tokens live in this process alone';
    return [warn('Redis', { detail, mend: 'set REDIS_URL, unless you run one replica that may forget' })];
  }
  const [, password, address = ''] = /:\/\/(?:[^:@]*:?([^@]*)@)?([^/?]*)/.exec(redis.url) ?? [];
  const probe = await probeRedis({ ...redis, timeoutMs: CONNECT_MS, clock });
  const encryption = checkEncryption(redis);
  if (!probe.connected) return [fail('Redis', redisTrouble(probe.trouble, address, redis.keyPrefix)), encryption];
  const { info, roundTripMs, scriptTrouble } = probe;
  return [
    ok('Redis', `${address} lets us in ${password ? 'with' : 'without'} a password; PING takes ${roundTripMs} ms`),
    ...versionFinding(info.get('redis_version')),
    roleAndScriptFinding(info.get('role'), scriptTrouble, address, redis.keyPrefix),
    ...memoryFinding(info.get('maxmemory_policy')),
    ...persistenceFinding(info),
    encryption,
  ];
}

function versionFinding(version: string | undefined): Finding[] {
  const [major = 0, minor = 0] = version?.split('.').map(Number) ?? [];
  const [oldestMajor, oldestMinor] = OLDEST_REDIS;
  if (version === undefined) {
    const mend = `let its user run INFO, or see yourself that it is ${OLDEST_REDIS.join('.')} or later`;
    return [warn('Redis version', { detail: 'it does not say', mend })];
  }
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return [ok('Redis version', version)];
  const mend = `upgrade it to ${OLDEST_REDIS.join('.')} or later`;
  return [fail('Redis version', { detail: `${version} is too old`, mend })];
}

function roleAndScriptFinding(
  role: string | undefined,
  trouble: string | undefined,
  address: string,
  keyPrefix: string,
): Finding {
  if (trouble) return fail('Redis scripts', redisTrouble(trouble, address, keyPrefix));
  // What is written to a writable replica is lost at its next synchronisation.
  if (role === 'slave') return fail('Redis scripts', redisTrouble('READONLY', address, keyPrefix));
  return ok('Redis scripts', 'one wrote, published and removed what it wrote');
}

function memoryFinding(policy: string | undefined): Finding[] {
  if (policy === undefined) return [];
  if (policy === 'noeviction') return [ok('Redis memory', 'nothing is evicted (noeviction)')];
  const detail = `maxmemory-policy ${policy} lets Redis drop tokens and leases; each dropped token costs a login`;
  return [warn('Redis memory', { detail, mend: 'set maxmemory-policy noeviction, and maxmemory high enough' })];
}

function persistenceFinding(info: ReadonlyMap<string, string>): Finding[] {
  const aof = info.get('aof_enabled');
  if (aof === undefined) return [];
  if (info.get('rdb_last_bgsave_status') === 'err' || info.get('aof_last_write_status') === 'err') {
    const mend = "see Redis's log: is its disk full, or not writable?";
    return [warn('Redis persistence', { detail: 'its last attempt to save to disk failed', mend })];
  }
  const lost = 'a crash costs a login for each token since the last snapshot';
  return [ok('Redis persistence', aof === '1' ? 'append-only file' : `no append-only file: ${lost}`)];
}

function checkEncryption({ encryptionKeys }: RedisConfig): Finding {
  const [first, ...others] = encryptionKeys.map(({ id }) => id);
  if (first === undefined) {
    const detail = 'off: whoever reads Redis, or a backup of it, can use the tokens';
    return warn('token encryption', { detail, mend: 'set TOKEN_ENCRYPTION_KEYS=k1:$(openssl rand -base64 32)' });
  }
  const reads = others.length > 0 ? `, ${others.join(', ')} can still be read` : '';
  return ok('token encryption', `AES-256-GCM with key ${first}${reads}`);
}
