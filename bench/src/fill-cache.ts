// A process that caches the given number of tokens. Prints the resident bytes of each, and the bytes that the cache counts.
import { TokenCache } from '../../src/broker/token-cache.ts';
import { RecordCodec } from '../../src/store/redis/records/record-codec.ts';
import { TokenCipher } from '../../src/store/redis/records/token-cipher.ts';
import { systemClock as clock } from '../../src/token/clock.ts';
import { subjectId } from '../../src/token/subject.ts';
import { madeUpRecord } from '../../test/support/made-up-tokens.ts';
import { ENCRYPTION_KEY, newSubjects, POLICY } from './broker-setup.ts';
import { residentBytes } from './cores.ts';

const count = Number(process.argv[2]);
const announcements = { subscribe: () => undefined, completeSince: () => 0 };
const cache = new TokenCache({ announcements, clock, maxBytes: 2_000 * count, policy: POLICY });
const codec = new RecordCodec(new TokenCipher([ENCRYPTION_KEY]));

globalThis.gc?.();
const before = residentBytes(process.pid);
while (cache.tokens.size < count) {
  // In batches, so that temporary buffers do not fragment the memory between cached entries.
  const encrypted = newSubjects(1_000).map((subject) => {
    const id = subjectId(subject);
    return { id, bytes: codec.encode(madeUpRecord(subject), id, id) };
  });
  for (const { id, bytes } of encrypted) {
    const record = codec.decode(bytes, id, id);
    if (record) cache.put(record, { checkedAt: clock.monotonic(), erasedAt: undefined });
  }
}
globalThis.gc?.();
const bytesEach = (residentBytes(process.pid) - before) / cache.tokens.size;
process.stdout.write(JSON.stringify({ bytesEach, countedEach: cache.tokens.bytes / cache.tokens.size }));
