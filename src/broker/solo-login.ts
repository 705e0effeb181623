import type { Clock } from '../token/clock.ts';
import { waitFrom } from '../token/lifetime.ts';
import type { VendorLogin } from '../token/ports.ts';
import type { RenewalRequest, Renewed } from './renewal-request.ts';
import type { TokenCache } from './token-cache.ts';
import type { WriteBack } from './write-back.ts';

export interface SoloLoginOptions {
  readonly vendor: VendorLogin;
  readonly cache: TokenCache;
  readonly writeBack: WriteBack;
  readonly clock: Clock;
}

/**
 * A login while the store cannot be asked: without a lease, so another replica may make the same one; within this
 * replica's share of the login budget. Only for what cannot wait for the store.
 */
export class SoloLogin {
  readonly #options: SoloLoginOptions;

  constructor(options: SoloLoginOptions) {
    this.#options = options;
  }

  /**
   * @param storeError what to throw where the login can wait
   * @throws BrokerError what the vendor says
   */
  async logIn(request: RenewalRequest, budgetMs: number, storeError: unknown): Promise<Renewed> {
    const { vendor, cache, writeBack, clock } = this.#options;
    const { subject, known, cause } = request;
    const canWait = cause === 'due' && known && clock.now() < waitFrom(known.token);
    const region = known?.region ?? request.region;
    if (canWait || !region) throw storeError;
    const token = await vendor.login({ subject, region, budgetMs, urgency: 'asked' });
    const generation = Math.max((known?.generation ?? 0) + 1, Math.floor(clock.now()));
    const record = { subject, region, token, generation, read: true, unreadRenewals: 0 };
    const erasedAt = cache.erasedAt(request.id);
    cache.put(record, Number.NEGATIVE_INFINITY, erasedAt, request.id);
    writeBack.keep(record);
    return { record, outcome: 'login', erasedAt };
  }
}
