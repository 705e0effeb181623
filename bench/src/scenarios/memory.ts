import { compare } from '../comparison.ts';
import { type CacheMemory, cacheMemory } from '../memory/cache-memory.ts';
import { brokerBytes, plainJsonBytes, TOKENS } from '../memory/redis-bytes.ts';
import type { Figure, Scenario } from '../scenario.ts';

const SUBJECTS_IN_MEMORY = [100_000, 1_000_000];

/** What a token takes in Redis, and in a process that remembers it. It is measured once: nothing here varies. */
export const scenario: Scenario = {
  name: 'memory',
  async run({ say }) {
    const { total, schedule, directory, lookUp } = await brokerBytes();
    const tokens = total - directory - lookUp;
    say(`  ${tokens.toFixed(0)} bytes of Redis for a token, ${total.toFixed(0)} with what outlives it`);
    const plain = await plainJsonBytes();
    const inMemory: Figure[] = [];
    for (const subjects of SUBJECTS_IN_MEMORY) {
      const memory = await cacheMemory(subjects);
      inMemory.push(...figuresOf(memory));
      say(`  ${subjects} tokens in memory: ${(memory.after / 1e6).toFixed(0)} MB`);
    }
    const inRedis = (label: string, value: number, peer = 'broker'): Figure => ({ peer, label, value, unit: 'bytes' });
    return {
      figures: [
        inRedis('a token in Redis: record, schedule, account index', tokens),
        inRedis('of these the schedule', schedule),
        inRedis('what outlives it: the look-up by accessId', lookUp),
        inRedis('what outlives it: the accessId of the account', directory),
        inRedis('all of it', total),
        inRedis('a token in Redis: record, schedule, account index', plain, 'plain JSON'),
        ...inMemory,
      ],
      comparisons: [
        compare({
          claim: 'bytes of Redis per token, encrypted: record, schedule, account index, what leases leave',
          value: tokens,
          is: 'atMost',
          bound: 720,
          unit: 'bytes',
          digits: 0,
          beside: `plain JSON ${plain.toFixed(0)}`,
        }),
      ],
      notes: [
        `${TOKENS} accounts with one terminal each, every token logged in for under a lease. Keys' share of Redis's own tables is counted as the token's.`,
        'plain JSON: the same keys with the record as JSON, in the clear, without what outlives tokens.',
        'In memory: resident bytes of a process that holds that many tokens, after a garbage collection.',
      ],
    };
  },
};

function figuresOf({ before, after, entries, counted }: CacheMemory): Figure[] {
  const label = `${entries.toLocaleString('en')} tokens in memory`;
  const peer = 'broker';
  return [
    { peer, label: `${label}, resident`, value: after / 1e6, unit: 'MB' },
    { peer, label: `${label}, for each`, value: (after - before) / entries, unit: 'bytes' },
    { peer, label: `${label}, counted for each`, value: counted / entries, unit: 'bytes' },
  ];
}
