import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compare, type Figure } from '../figures.ts';
import { brokerBytes, plainJsonBytes, TOKENS } from '../memory/redis-bytes.ts';
import { onCores, SERVER_CORE } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';

const SUBJECTS_IN_MEMORY = [100_000, 1_000_000];

/** Memory per token, in Redis and in a process that caches tokens. Measured once, because the results do not vary. */
export const scenario: Scenario = {
  name: 'memory',
  async run({ say }) {
    const { total, schedule, directory, lookUp } = await brokerBytes();
    const tokens = total - directory - lookUp;
    say(`  ${tokens.toFixed(0)} bytes of Redis for a token, ${total.toFixed(0)} with the parts that stay after it`);
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
        inRedis('schedule alone', schedule),
        inRedis('stays after the token: key for the lookup by accessId', lookUp),
        inRedis('stays after the token: accessId of the account', directory),
        inRedis('total', total),
        inRedis('a token in Redis: record, schedule, account index', plain, 'plain JSON'),
        ...inMemory,
      ],
      comparisons: [
        compare({
          claim: 'bytes of Redis per token: encrypted record, schedule, account index, remains of leases',
          value: tokens,
          is: 'atMost',
          bound: 950,
          unit: 'bytes',
          digits: 0,
          beside: `plain JSON ${plain.toFixed(0)}`,
        }),
      ],
      notes: [
        `${TOKENS} accounts with one terminal each, and a login under a lease for every token. The figures include the space that the keys need in Redis's own tables.`,
        'plain JSON: the same keys, with the record as unencrypted JSON, without the parts that stay after a token.',
        'In memory: resident bytes of a process that caches this number of tokens, after a garbage collection.',
      ],
    };
  },
};

const SCRIPT = fileURLToPath(new URL('../memory/fill-cache.ts', import.meta.url));
const NODE_OPTIONS = ['--expose-gc', '--max-old-space-size=8192', '--import', 'tsx'];

export interface CacheMemory {
  /** Resident bytes of the process without and with its entries. */
  readonly before: number;
  readonly after: number;
  readonly entries: number;
  /** Bytes of all entries as the cache counts them against its limit. */
  readonly counted: number;
}

/** Measures a process that caches this number of tokens. */
async function cacheMemory(tokens: number): Promise<CacheMemory> {
  const args = [...NODE_OPTIONS, SCRIPT, String(tokens)];
  const { stdout } = await promisify(execFile)(...onCores(SERVER_CORE, process.execPath, args));
  const memory = JSON.parse(stdout) as CacheMemory;
  if (memory.entries !== tokens) throw new Error(`${memory.entries} of ${tokens} tokens are in memory`);
  return memory;
}

function figuresOf({ before, after, entries, counted }: CacheMemory): Figure[] {
  const label = `${entries.toLocaleString('en')} tokens in memory`;
  const peer = 'broker';
  return [
    { peer, label: `${label}, resident`, value: after / 1e6, unit: 'MB' },
    { peer, label: `${label}, per token`, value: (after - before) / entries, unit: 'bytes' },
    { peer, label: `${label}, counted per token`, value: counted / entries, unit: 'bytes' },
  ];
}
