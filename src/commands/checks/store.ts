import type { RedisConfig } from '../../config/config.ts';
import { probeRedis } from '../../store/redis/probe.ts';
import type { Clock } from '../../token/clock.ts';
import { type CheckResult, fail, networkProblem, ok, type Problem, warn } from './check-result.ts';

/** Major and minor version of the oldest Redis that the broker supports. */
const OLDEST_REDIS = [6, 2] as const;

const FULL_DISK = 'See the log of Redis. Its disk may be full or not writable.';

/** By the error code of Redis or of the probe. */
const REDIS_PROBLEMS: Readonly<Record<string, Problem>> = {
  NOAUTH: {
    detail: 'it requires a password, but REDIS_URL has none (NOAUTH)',
    fix: 'Add the password to the URL: redis://:password@host or redis://user:password@host.',
  },
  WRONGPASS: {
    detail: 'it rejects the user or the password in REDIS_URL (WRONGPASS)',
    fix: 'Correct them. In a URL, characters such as @ / : # % must be percent-encoded.',
  },
  DENIED: {
    detail: 'it accepts connections from its own machine only (DENIED, protected mode)',
    fix: 'Set a password in Redis and add it to REDIS_URL.',
  },
  READONLY: {
    detail: 'it is a replica, but the broker must write (READONLY)',
    fix: 'Set REDIS_URL to the primary.',
  },
  MISCONF: { detail: 'it refuses to write because it cannot save to disk (MISCONF)', fix: FULL_DISK },
  OOM: { detail: 'it has no memory left (OOM)', fix: 'Raise its maxmemory.' },
  LOADING: { detail: 'it is still loading its data (LOADING)', fix: 'Wait, then run the check again.' },
  MOVED: {
    detail: 'it is a node of a Redis Cluster, but REDIS_URL has another scheme (MOVED)',
    fix: 'Use the scheme for a cluster: redis-cluster://host:port,host:port.',
  },
  NOMASTER: {
    detail: 'the Sentinels know no master of that name',
    fix: 'Correct the name at the end of REDIS_URL: redis-sentinel://host:port,host:port/name.',
  },
  NODATABASE: {
    detail: 'the database in REDIS_URL cannot be selected',
    fix: 'Correct its number at the end of REDIS_URL: Redis has databases 0 to 15, unless its setting `databases` differs. With ACLs, the user needs the right +select.',
  },
  NOSENTINEL: {
    detail: 'no Sentinel answers',
    fix: 'Check that the Sentinels run at the addresses in REDIS_URL. If they require TLS, add ?tls=true. If they require a password, add ?sentinelPassword=….',
  },
  NONODE: {
    detail: 'no node of the cluster answers',
    fix: 'Check that the nodes run at the addresses in REDIS_URL. If they require TLS, add ?tls=true.',
  },
  ERR: {
    detail: 'it refuses a command of the broker (ERR)',
    fix: 'Check that the server is Redis 6.2 or later with scripts.',
  },
};

/** @param code as in `RedisProbe` */
function redisProblem(code: string, address: string, keyPrefix: string): Problem {
  if (code === 'NOPERM') {
    return {
      detail: 'its user lacks a permission (NOPERM)',
      fix: `Allow scripts, the keys ${keyPrefix}:* and the channel ${keyPrefix}:*. For example: ACL SETUSER … ~${keyPrefix}:* &${keyPrefix}:* +@all -@dangerous +info`,
    };
  }
  return REDIS_PROBLEMS[code] ?? networkProblem(code, { address, setting: 'REDIS_URL' });
}

const CONNECT_TIMEOUT_MS = 4_000;

/** Checks that the broker can use Redis, that Redis does not lose tokens, and that the tokens are encrypted. */
export async function checkStore(redis: RedisConfig | undefined, clock: Clock): Promise<CheckResult[]> {
  if (!redis) {
    const detail = 'REDIS_URL is not set: this process alone keeps the tokens, and a restart loses them';
    return [warn('Redis', { detail, fix: 'Set REDIS_URL, unless you run a single replica for a test.' })];
  }
  // A password may contain an @ that is not percent-encoded: the last one ends it.
  const [, password, address = ''] = /:\/\/(?:[^:/?#]*:?([^/?#]*)@)?([^/?#]*)/.exec(redis.url) ?? [];
  const probe = await probeRedis({ ...redis, timeoutMs: CONNECT_TIMEOUT_MS, clock });
  const encryption = checkEncryption(redis);
  if (!probe.connected) return [fail('Redis', redisProblem(probe.trouble, address, redis.keyPrefix)), encryption];
  const { info, roundTripMs, scriptTrouble } = probe;
  // A writable replica accepts the script, but loses what it wrote at its next synchronisation.
  const scriptError = scriptTrouble ?? (info.get('role') === 'slave' ? 'READONLY' : undefined);
  return [
    ok('Redis', `connected to ${address} ${password ? 'with' : 'without'} a password; PING takes ${roundTripMs} ms`),
    checkVersion(info.get('redis_version')),
    scriptError
      ? fail('Redis scripts', redisProblem(scriptError, address, redis.keyPrefix))
      : ok('Redis scripts', 'a script wrote a key, published a message and deleted the key'),
    ...checkMemory(info.get('maxmemory_policy')),
    ...checkPersistence(info),
    encryption,
  ];
}

function checkVersion(version: string | undefined): CheckResult {
  const name = 'Redis version';
  const oldest = OLDEST_REDIS.join('.');
  if (version === undefined) {
    const fix = `Allow the user to run INFO, or make sure that the version is ${oldest} or later.`;
    return warn(name, { detail: 'the version is unknown', fix });
  }
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isSupported = major > OLDEST_REDIS[0] || (major === OLDEST_REDIS[0] && minor >= OLDEST_REDIS[1]);
  if (isSupported) return ok(name, version);
  return fail(name, { detail: `${version} is too old`, fix: `Upgrade Redis to ${oldest} or later.` });
}

function checkMemory(policy: string | undefined): CheckResult[] {
  if (policy === undefined) return [];
  if (policy === 'noeviction') return [ok('Redis memory', 'Redis evicts no keys (noeviction)')];
  const detail = `maxmemory-policy ${policy} lets Redis evict tokens and leases; each evicted token costs a login`;
  return [warn('Redis memory', { detail, fix: 'Set maxmemory-policy to noeviction, and maxmemory high enough.' })];
}

function checkPersistence(info: ReadonlyMap<string, string>): CheckResult[] {
  const name = 'Redis persistence';
  const aof = info.get('aof_enabled');
  if (aof === undefined) return [];
  if (info.get('rdb_last_bgsave_status') === 'err' || info.get('aof_last_write_status') === 'err') {
    return [warn(name, { detail: 'the last attempt of Redis to save to disk failed', fix: FULL_DISK })];
  }
  if (aof === '1') return [ok(name, 'append-only file')];
  return [ok(name, 'no append-only file: after a crash, each token since the last snapshot costs a login')];
}

function checkEncryption({ encryptionKeys }: RedisConfig): CheckResult {
  const name = 'token encryption';
  const [first, ...others] = encryptionKeys.map(({ id }) => id);
  if (first === undefined) {
    const detail = 'off: anyone who can read Redis or its backups can use the tokens';
    return warn(name, {
      detail,
      fix: 'Set TOKEN_ENCRYPTION_KEYS to what this prints: echo "k1:$(openssl rand -base64 32)".',
    });
  }
  const decrypts = others.length > 0 ? `; ${others.join(', ')} can still decrypt` : '';
  return ok(name, `AES-256-GCM with key ${first}${decrypts}`);
}
