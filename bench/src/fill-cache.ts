// A process that caches tokens. Prints the bytes of each: in the heap, and as the cache counts them.
import { validateHeaderValue } from 'node:http';
import { TokenCache } from '../../src/broker/token-cache.ts';
import { RecordCodec } from '../../src/store/redis/records/record-codec.ts';
import { TokenCipher } from '../../src/store/redis/records/token-cipher.ts';
import { systemClock as clock } from '../../src/token/clock.ts';
import { subjectId } from '../../src/token/subject.ts';
import { madeUpRecord } from '../../test/support/made-up-tokens.ts';
import { ENCRYPTION_KEY, newSubjects, POLICY } from './broker-setup.ts';

const count = Number(process.argv[2]);
const announcements = { subscribe: () => undefined, completeSince: () => 0 };
const cache = new TokenCache({ announcements, clock, cacheMaxBytes: 4_000 * count, policy: POLICY });
const codec = new RecordCodec(new TokenCipher([ENCRYPTION_KEY]));

/** Fills the cache up to this number of tokens. @returns the heap without garbage */
function fill(size: number): number {
  while (cache.tokens.size < size) {
    // In batches, so that temporary buffers do not fragment the memory between cached entries.
    const encrypted = newSubjects(1_000).map((subject) => {
      const id = subjectId(subject);
      return { id, bytes: codec.encode(madeUpRecord(subject), id, id) };
    });
    for (const { id, bytes } of encrypted) {
      const record = codec.decode(bytes, id, id);
      if (!record) continue;
      const { etag } = cache.put(record, { checkedAt: clock.monotonic(), erasedAt: undefined });
      // As in an answer, which makes one text of the parts of the tag.
      validateHeaderValue('etag', etag);
    }
  }
  // The second one frees the buffers that the first one found.
  for (let round = 0; round < 2; round += 1) globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

// The first tokens also bring what a process needs once: room for new objects, compiled code.
const first = fill(count);
const heapEach = (fill(2 * count) - first) / count;
process.stdout.write(JSON.stringify({ heapEach, countedEach: cache.tokens.bytes / cache.tokens.size }));
