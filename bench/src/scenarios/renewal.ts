import { compare } from '../comparison.ts';
import { startBenchRedis } from '../processes/redis.ts';
import type { Drained } from '../renewal/drain.ts';
import { type DrainInput, drainWith } from '../renewal/drain-process.ts';
import { type ScheduleBytes, scheduleBytes } from '../renewal/schedule-bytes.ts';
import type { Figure, Scenario, ScenarioResult } from '../scenario.ts';
import { median, medianRatio } from '../statistics.ts';

const TOKENS = 20_000;
/** What a worker of BullMQ is tried with, and with how many tokens. */
const CONCURRENCIES = [8, 32, 128];
const TRIAL_TOKENS = 5_000;

/** The due queue drained by one process on one core, beside BullMQ with a delayed job for each token. */
export const scenario: Scenario = {
  name: 'renewal',
  async run({ rounds, say }) {
    const concurrency = await bestConcurrency(say);
    const broker: Drained[] = [];
    const bullmq: Drained[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      broker.push(await drained('broker-drain', { tokens: TOKENS }));
      bullmq.push(await drained('bullmq-drain', { tokens: TOKENS, concurrency }));
      say(`  round ${round}: broker ${lineOf(broker)}, BullMQ ${lineOf(bullmq)}`);
    }
    return resultOf({ broker, bullmq }, await scheduleBytes(), concurrency);
  },
};

async function drained(script: string, input: Omit<DrainInput, 'redisUrl'>): Promise<Drained> {
  const redis = await startBenchRedis();
  try {
    return await drainWith(script, { redisUrl: redis.url, ...input });
  } finally {
    await redis.stop();
  }
}

async function bestConcurrency(say: (line: string) => void): Promise<number> {
  let best = { concurrency: 0, perSecond: 0 };
  for (const concurrency of CONCURRENCIES) {
    const { perSecond } = await drained('bullmq-drain', { tokens: TRIAL_TOKENS, concurrency });
    say(`  BullMQ with concurrency ${concurrency}: ${Math.round(perSecond)}/s`);
    if (perSecond > best.perSecond) best = { concurrency, perSecond };
  }
  return best.concurrency;
}

function lineOf(runs: readonly Drained[]): string {
  const { perSecond = 0, perCoreSecond = 0 } = runs.at(-1) ?? {};
  return `${Math.round(perSecond)}/s (${Math.round(perCoreSecond)} per second of CPU)`;
}

function resultOf(
  runs: Readonly<Record<'broker' | 'bullmq', readonly Drained[]>>,
  bytes: ScheduleBytes,
  concurrency: number,
): ScenarioResult {
  const perSecond = (peer: 'broker' | 'bullmq') => runs[peer].map((run) => run.perSecond);
  const perCoreSecond = (peer: 'broker' | 'bullmq') => runs[peer].map((run) => run.perCoreSecond);
  const figures = (['broker', 'bullmq'] as const).flatMap((peer): Figure[] => [
    { peer, label: 'renewals', value: median(perSecond(peer)), unit: '/s' },
    { peer, label: 'renewals per second of CPU', value: median(perCoreSecond(peer)), unit: '/s' },
    { peer, label: 'schedule, each token', value: bytes[peer], unit: 'bytes' },
  ]);
  const speed = medianRatio(perSecond('broker'), perSecond('bullmq'));
  const thrift = medianRatio(perCoreSecond('broker'), perCoreSecond('bullmq'));
  const size = bytes.broker / bytes.bullmq;
  const sizeOfShort = bytes.broker / bytes.bullmqWithShortId;
  return {
    figures,
    comparisons: [
      compare({ claim: 'renewals per second, beside BullMQ', value: speed, is: 'atLeast', bound: 4, unit: '×' }),
      compare({
        claim: 'renewals per second of CPU, beside BullMQ',
        value: thrift,
        is: 'atLeast',
        bound: 4,
        unit: '×',
      }),
      compare({
        claim: 'bytes of the schedule, beside BullMQ',
        value: size,
        is: 'atMost',
        bound: 0.25,
        unit: '×',
        beside: `${sizeOfShort.toFixed(2)} × if a job holds but a short id`,
      }),
    ],
    notes: [
      `${TOKENS} due tokens, renewed by one process on one core; the vendor is a function that answers at once.`,
      `BullMQ: one worker, concurrency ${concurrency}, the best of ${CONCURRENCIES.join(', ')}. Its job names app, unionId and uniqueId; it reads the sealed record, logs in, writes it and adds the next job. It knows no leases, fences, announcements, account index or look-up by accessId; the broker's renewal keeps them all.`,
    ],
  };
}
