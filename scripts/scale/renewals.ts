import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/token/clock.ts';
import type { LoginRequest, TokenStore } from '../../src/token/ports.ts';
import type { SdkToken } from '../../src/token/sdk-token.ts';
import { brokerParts } from '../../test/support/broker-parts.ts';
import { accessIdOf } from '../../test/support/filled-store.ts';
import { LIFE_MS, madeUpToken } from '../../test/support/made-up-tokens.ts';
import { ScriptedLogin } from '../../test/support/scripted-login.ts';
import { percentile } from '../../test/support/statistics.ts';
import { type Figures, formatCount } from './figures.ts';
import type { MeasuredRedis } from './measured-redis.ts';

const CLAIMS = 1_000;
const MAX_DURATION_MS = 10_000;
const HOUR_MS = 3_600_000;

/** A vendor that answers immediately. */
class InstantVendor extends ScriptedLogin {
  logins = 0;

  override async login({ subject }: LoginRequest): Promise<SdkToken> {
    this.logins += 1;
    return madeUpToken(accessIdOf(subject.unionId));
  }
}

/** Measures how long one look into the due queue takes. */
export async function measureClaims(store: TokenStore, figures: Figures): Promise<void> {
  const tookMs: number[] = [];
  for (let round = 0; round < CLAIMS; round += 1) {
    const startedAt = performance.now();
    await store.dueQueue.claim(128);
    tookMs.push(performance.now() - startedAt);
  }
  const [p50, p99] = [0.5, 0.99].map((share) => `${percentile(tookMs, share).toFixed(2)} ms`);
  figures.note('claim of up to 128 due tokens over 16 shards', `p50 ${p50}, p99 ${p99}`);
}

/** Renews due tokens in this process with a replica's worker, for at most 10 s. */
export async function measureRenewals(
  store: TokenStore,
  redis: MeasuredRedis,
  due: number,
  figures: Figures,
): Promise<void> {
  // At this time every token is due, and none has expired.
  const clock = { ...systemClock, now: () => systemClock.now() + 0.905 * LIFE_MS };
  const vendor = new InstantVendor();
  const { worker } = brokerParts({ clock, store, vendor });
  const [cpuFrom, redisCpuFrom, startedAt] = [process.cpuUsage(), await redis.cpuSeconds(), performance.now()];
  worker.start();
  while (vendor.logins < due && performance.now() < startedAt + MAX_DURATION_MS) await sleep(20);
  const renewals = vendor.logins;
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuFrom);
  const redisMs = 1_000 * ((await redis.cpuSeconds()) - redisCpuFrom);
  await worker.stop();
  figures.note('renewals per second, one replica, vendor answers immediately', formatCount(renewals / seconds));
  figures.note('CPU of the replica per renewal', `${((user + system) / 1_000 / renewals).toFixed(3)} ms`);
  figures.note('CPU of Redis per renewal', `${(redisMs / renewals).toFixed(3)} ms`);
}

/** Claims all tokens that are still due, so that no token is due for an hour. */
export async function claimTheRest(store: TokenStore): Promise<void> {
  let backlog = 1;
  while (backlog > 0) {
    const due = await store.dueQueue.claim(1_000);
    await Promise.all(due.ids.map((id) => store.terminals.acquire(id, HOUR_MS)));
    backlog = due.backlog;
  }
}
