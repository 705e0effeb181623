import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/token/clock.ts';
import type { LoginRequest, TokenStore } from '../../src/token/ports.ts';
import type { SdkToken } from '../../src/token/sdk-token.ts';
import { brokerParts } from '../../test/support/broker-parts.ts';
import { ScriptedLogin } from '../../test/support/scripted-login.ts';
import { count, type Figures, percentile } from './figures.ts';
import { LIFE_MS, madeUpToken } from './made-up-token.ts';
import type { MeasuredRedis } from './measured-redis.ts';

const CLAIMS = 1_000;
const LONGEST_MS = 10_000;
const HOUR_MS = 3_600_000;

/** A vendor that answers at once. */
class PromptVendor extends ScriptedLogin {
  logins = 0;

  override async login({ subject }: LoginRequest): Promise<SdkToken> {
    this.logins += 1;
    return madeUpToken(subject.unionId);
  }
}

export async function measureClaims(store: TokenStore, figures: Figures): Promise<void> {
  const tookMs: number[] = [];
  for (let round = 0; round < CLAIMS; round += 1) {
    const startedAt = performance.now();
    await store.dueQueue.claim(128, { shortest: 1, longest: 1 });
    tookMs.push(performance.now() - startedAt);
  }
  const [p50, p99] = [0.5, 0.99].map((share) => `${percentile(tookMs, share).toFixed(2)} ms`);
  figures.note('claim of up to 128 over 16 shards', `p50 ${p50}, p99 ${p99}`);
}

/** Renews in this process, as a replica's worker does, until ten seconds are over or all that is due is renewed. */
export async function measureRenewals(
  store: TokenStore,
  redis: MeasuredRedis,
  due: number,
  figures: Figures,
): Promise<void> {
  // When every token that was just issued is due, and none has ended.
  const clock = { ...systemClock, now: () => systemClock.now() + 0.905 * LIFE_MS };
  const vendor = new PromptVendor();
  const { worker } = brokerParts({ clock, store, vendor });
  const [cpuFrom, redisCpuFrom, startedAt] = [process.cpuUsage(), await redis.cpuSeconds(), performance.now()];
  worker.start();
  while (vendor.logins < due && performance.now() < startedAt + LONGEST_MS) await sleep(20);
  const renewals = vendor.logins;
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuFrom);
  const redisMs = 1_000 * ((await redis.cpuSeconds()) - redisCpuFrom);
  await worker.stop();
  figures.note('renewals a second, one replica, vendor answering at once', count(renewals / seconds));
  figures.note('CPU of the replica for each', `${((user + system) / 1_000 / renewals).toFixed(3)} ms`);
  figures.note('CPU of Redis for each', `${(redisMs / renewals).toFixed(3)} ms`);
}

/** Claims what is still due, and leaves it at that: nothing is due for an hour. */
export async function claimTheRest(store: TokenStore): Promise<void> {
  let left = 1;
  while (left > 0) left = (await store.dueQueue.claim(1_000, { shortest: HOUR_MS, longest: HOUR_MS })).backlog;
}
