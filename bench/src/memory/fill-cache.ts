// A process that caches the given number of tokens, and prints its memory use.
import { TokenCache } from '../../../src/broker/token-cache.ts';
import { RecordCodec } from '../../../src/store/redis/records/record-codec.ts';
import { systemClock as clock } from '../../../src/token/clock.ts';
import { type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { madeUpRecord } from '../../../test/support/made-up-tokens.ts';
import { benchCipher, POLICY } from '../broker-setup.ts';
import { residentBytes } from '../processes/cores.ts';
import type { CacheMemory } from '../scenarios/memory.ts';
import { newSubjects } from '../subjects.ts';

/** Encrypts in batches, so that temporary buffers do not fragment the memory between cached entries. */
const BATCH = 1_000;

const count = Number(process.argv[2]);
const announcements = { subscribe: () => undefined, completeSince: () => 0 };
const cache = new TokenCache({ announcements, clock, maxBytes: 1_000 * count, policy: POLICY });
const codec = new RecordCodec(benchCipher());

globalThis.gc?.();
const before = residentBytes(process.pid);
while (cache.size < count) for (const [id, encrypted] of encryptedRecords()) put(id, encrypted);
globalThis.gc?.();
const memory: CacheMemory = {
  before,
  after: residentBytes(process.pid),
  entries: cache.size,
  counted: cache.bytes,
};
process.stdout.write(JSON.stringify(memory));

function encryptedRecords(): [SubjectId, Buffer][] {
  return newSubjects(Math.min(BATCH, count - cache.size)).map((account) => {
    const record = madeUpRecord({ app: 'default', ...account });
    const id = subjectId(record.subject);
    return [id, codec.encode(record, id, id)];
  });
}

/** Caches an encrypted record, like a read that gets it from Redis. */
function put(id: SubjectId, encrypted: Buffer): void {
  const record = codec.decode(encrypted, id, id);
  if (record) cache.put(record, { checkedAt: clock.monotonic(), erasedAt: undefined });
}
