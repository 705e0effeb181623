import type { Clock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import type { TokenStore, VendorLogin } from '../token/ports.ts';
import type { BelievedSessions } from '../token/principal.ts';
import type { RefreshPolicy } from '../token/renewal-timing.ts';
import type { Tracer } from '../token/tracer.ts';

/** The ports and settings of one replica that the parts of the broker share. Each part names those that it needs. */
export interface BrokerPorts extends TokenStore {
  readonly vendor: VendorLogin;
  readonly sessions: BelievedSessions;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
  readonly tracer: Tracer;
  /** Maximum duration of one login: all its attempts, and the waits between them. */
  readonly loginBudgetMs: number;
  readonly defaultRegion: string | undefined;
}
