import type { RedisConfig } from '../../config/config.ts';
import { probeRedis } from '../../store/redis/probe.ts';
import type { Clock } from '../../token/clock.ts';
import { type Finding, fail, ok, type Trouble, warn } from './finding.ts';
import { networkTrouble } from './network-trouble.ts';

/** Major and minor version of the oldest Redis that will do. */
const OLDEST_REDIS = [6, 2] as const;

/** What Redis refuses with, by its first word. */
const REFUSALS: Readonly<Record<string, Trouble>> = {
  NOAUTH: {
    detail: 'it wants a password, and REDIS_URL has none (NOAUTH)',
    mend: 'put it into the URL: redis://:password@host or redis://user:password@host',
  },
  WRONGPASS: {
    detail: 'it does not accept user and password of REDIS_URL (WRONGPASS)',
    mend: 'correct them; characters such as @ / : # % must be percent-encoded in a URL',
  },
  DENIED: {
    detail: 'it takes connections from its own machine only (DENIED, protected mode)',
    mend: 'give Redis a password and put it into REDIS_URL',
  },
  READONLY: {
    detail: 'it is a replica, and tokens must be written (READONLY)',
    mend: 'let REDIS_URL name the primary',
  },
  MISCONF: {
    detail: 'it refuses to write since it cannot save to disk (MISCONF)',
    mend: "see Redis's log: is its disk full, or not writable?",
  },
  OOM: { detail: 'it has no memory left (OOM)', mend: 'raise its maxmemory' },
  LOADING: { detail: 'it is still loading its data (LOADING)', mend: 'wait, and run the check again' },
  MOVED: {
    detail: 'it is a node of a Redis Cluster, which REDIS_URL does not say (MOVED)',
    mend: 'name it as a cluster: redis-cluster://host:port,host:port',
  },
  NOMASTER: {
    detail: 'the Sentinels know no master of that name',
    mend: 'correct the name at the end of REDIS_URL: redis-sentinel://host:port,host:port/name',
  },
  NOSENTINEL: {
    detail: 'no Sentinel answers',
    mend: 'see that they run at the addresses in REDIS_URL, and whether they want TLS (?tls=true) or a password (?sentinelPassword=…)',
  },
  NONODE: {
    detail: 'no node of the cluster answers',
    mend: 'see that they run at the addresses in REDIS_URL, and whether they want TLS (?tls=true)',
  },
  ERR: {
    detail: 'it refuses what the broker asks of it (ERR)',
    mend: 'see that REDIS_URL names a database that exists, and that it is Redis 6.2 or later, scripts included',
  },
};

/** What keeps the broker from using the Redis. @param trouble as `RedisProbe` has it */
function redisTrouble(trouble: string, address: string, keyPrefix: string): Trouble {
  if (trouble === 'NOPERM') {
    return {
      detail: 'its user lacks a permission (NOPERM)',
      mend: `permit it scripts, the keys ${keyPrefix}:* and the channel ${keyPrefix}:*, for example: ACL SETUSER … ~${keyPrefix}:* &${keyPrefix}:* +@all -@dangerous +info`,
    };
  }
  return REFUSALS[trouble] ?? networkTrouble(trouble, { address, setting: 'REDIS_URL' });
}

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
