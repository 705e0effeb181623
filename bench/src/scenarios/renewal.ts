import { median, medianRatio } from '../../../test/support/statistics.ts';
import { compare, type Figure } from '../figures.ts';
import { withEmptyRedis } from '../processes/redis.ts';
import { type DrainInput, type DrainResult, drainWith } from '../renewal/drain.ts';
import { type ScheduleBytes, scheduleBytes } from '../renewal/schedule-bytes.ts';
import type { Scenario, ScenarioResult } from '../scenario.ts';

const TOKENS = 20_000;
/** Each concurrency is tried with a BullMQ worker, on this number of tokens. */
const CONCURRENCIES = [8, 32, 128];
const TRIAL_TOKENS = 5_000;

/** One process on one core renews all due tokens. The comparison is BullMQ with one delayed job per token. */
export const scenario: Scenario = {
  name: 'renewal',
  async run({ rounds, say }) {
    const concurrency = await bestConcurrency(say);
    const broker: DrainResult[] = [];
    const bullmq: DrainResult[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      broker.push(await drain('broker-drain', { tokens: TOKENS }));
      bullmq.push(await drain('bullmq-drain', { tokens: TOKENS, concurrency }));
      say(`  round ${round}: broker ${lineOf(broker)}, BullMQ ${lineOf(bullmq)}`);
    }
    return resultOf({ broker, bullmq }, await scheduleBytes(), concurrency);
  },
};

function drain(script: string, input: Omit<DrainInput, 'redisUrl'>): Promise<DrainResult> {
  return withEmptyRedis((_, redisUrl) => drainWith(script, { redisUrl, ...input }));
}

async function bestConcurrency(say: (line: string) => void): Promise<number> {
  let best = { concurrency: 0, perSecond: 0 };
  for (const concurrency of CONCURRENCIES) {
    const { perSecond } = await drain('bullmq-drain', { tokens: TRIAL_TOKENS, concurrency });
    say(`  BullMQ with concurrency ${concurrency}: ${Math.round(perSecond)}/s`);
    if (perSecond > best.perSecond) best = { concurrency, perSecond };
  }
  return best.concurrency;
}

function lineOf(runs: readonly DrainResult[]): string {
  const { perSecond = 0, perCoreSecond = 0 } = runs.at(-1) ?? {};
  return `${Math.round(perSecond)}/s (${Math.round(perCoreSecond)} per second of CPU)`;
}

function resultOf(
  runs: Readonly<Record<'broker' | 'bullmq', readonly DrainResult[]>>,
  bytes: ScheduleBytes,
  concurrency: number,
): ScenarioResult {
  const perSecond = (peer: 'broker' | 'bullmq') => runs[peer].map((run) => run.perSecond);
  const perCoreSecond = (peer: 'broker' | 'bullmq') => runs[peer].map((run) => run.perCoreSecond);
  const figures = (['broker', 'bullmq'] as const).flatMap((peer): Figure[] => [
    { peer, label: 'renewals', value: median(perSecond(peer)), unit: '/s' },
    { peer, label: 'renewals per second of CPU', value: median(perCoreSecond(peer)), unit: '/s' },
    { peer, label: 'schedule, per token', value: bytes[peer], unit: 'bytes' },
  ]);
  const speed = medianRatio(perSecond('broker'), perSecond('bullmq'));
  const efficiency = medianRatio(perCoreSecond('broker'), perCoreSecond('bullmq'));
  const size = bytes.broker / bytes.bullmq;
  const sizeWithShortId = bytes.broker / bytes.bullmqWithShortId;
  return {
    figures,
    comparisons: [
      compare({ claim: 'renewals per second, relative to BullMQ', value: speed, is: 'atLeast', bound: 4, unit: '×' }),
      compare({
        claim: 'renewals per second of CPU, relative to BullMQ',
        value: efficiency,
        is: 'atLeast',
        bound: 4,
        unit: '×',
      }),
      compare({
        claim: 'bytes of the schedule, relative to BullMQ',
        value: size,
        is: 'atMost',
        bound: 0.25,
        unit: '×',
        beside: `${sizeWithShortId.toFixed(2)} × if a job contains only a short id`,
      }),
    ],
    notes: [
      `One process on one core renews ${TOKENS} due tokens. The vendor is a function that answers immediately.`,
      `BullMQ: one worker, concurrency ${concurrency}, the best of ${CONCURRENCIES.join(', ')}. A job contains app, unionId and uniqueId. It reads the encrypted record, logs in, writes the new record and adds the next job. It has no lease, fence, announcement, account index or lookup by accessId. The broker's renewal has all of these.`,
    ],
  };
}
