import type { Trouble } from './finding.ts';
import { networkTrouble } from './network-trouble.ts';

/** Major and minor version of the oldest Redis that will do. */
export const OLDEST_REDIS = [6, 2] as const;

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
export function redisTrouble(trouble: string, address: string, keyPrefix: string): Trouble {
  if (trouble === 'NOPERM') {
    return {
      detail: 'its user lacks a permission (NOPERM)',
      mend: `permit it scripts, the keys ${keyPrefix}:* and the channel ${keyPrefix}:*, for example: ACL SETUSER … ~${keyPrefix}:* &${keyPrefix}:* +@all -@dangerous +info`,
    };
  }
  return REFUSALS[trouble] ?? networkTrouble(trouble, { address, setting: 'REDIS_URL' });
}
