import type { TokenStore } from '../token/ports.ts';
import { createAccessIds } from './access-ids.ts';
import { createAccounts } from './accounts.ts';
import type { BrokerPorts } from './broker-ports.ts';
import { createLoginLimits, type LoginLimitsOptions } from './login-limits.ts';
import { createRefreshWorker } from './refresh-worker.ts';
import { createRenewal } from './renewal.ts';
import { createTokenBroker } from './token-broker.ts';
import { TokenCache, type TokenCacheOptions } from './token-cache.ts';
import { WriteBack } from './write-back.ts';

export interface BrokerOptions
  extends Omit<BrokerPorts, keyof TokenStore>,
    Pick<TokenCacheOptions, 'cacheMaxBytes'>,
    Pick<LoginLimitsOptions, 'loginsPerHour' | 'loginBurst'> {
  readonly store: TokenStore;
}

export type Broker = ReturnType<typeof createBroker>;

/** Returns the parts of one replica that obtain, keep and renew tokens. The worker does nothing until it is started. */
export function createBroker(options: BrokerOptions) {
  const { store, clock } = options;
  const ports = { ...options, ...store };
  const cache = new TokenCache(ports);
  const limits = createLoginLimits(ports);
  const writeBack = new WriteBack({ ...ports, cache });
  const parts = { ...ports, cache, limits, writeBack };
  const renewal = createRenewal(parts);
  const accessIds = createAccessIds(parts);
  return {
    tokens: createTokenBroker({ ...parts, renewal }),
    accounts: createAccounts(parts),
    accessIds,
    renewal,
    writeBack,
    cache,
    worker: createRefreshWorker({ ...parts, renewal }),
    /** Waits at most `timeoutMs` for running logins, and for the store to have each token. Releases all leases. */
    settle: async (timeoutMs: number): Promise<void> => {
      const until = clock.monotonic() + timeoutMs;
      await Promise.all([renewal.settle(timeoutMs), accessIds.settle(timeoutMs)]);
      await writeBack.settle(Math.max(0, until - clock.monotonic()));
    },
  };
}
