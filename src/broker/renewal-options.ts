import type { Clock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import type { TokenStore, VendorLogin } from '../token/ports.ts';
import type { RefreshPolicy } from '../token/refresh-policy.ts';
import type { LoginLimits } from './login-limits.ts';
import type { TokenCache } from './token-cache.ts';
import type { WriteBack } from './write-back.ts';

export interface RenewalOptions {
  readonly store: TokenStore;
  readonly vendor: VendorLogin;
  readonly cache: TokenCache;
  readonly limits: LoginLimits;
  readonly writeBack: WriteBack;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
  /** Most ms one login may take, its repetitions included. */
  readonly loginBudgetMs: number;
}
