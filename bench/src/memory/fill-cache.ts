// A process that holds as many tokens in memory as it is told, and tells how much memory it has.
import { TokenCache } from '../../../src/broker/token-cache.ts';
import { RecordCodec } from '../../../src/store/redis/records/record-codec.ts';
import { systemClock as clock } from '../../../src/token/clock.ts';
import { refreshAt } from '../../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { benchCipher } from '../broker-store.ts';
import { residentBytes } from '../processes/cores.ts';
import { POLICY } from '../renewal/due-records.ts';
import { newSubjects, randomToken } from '../subjects.ts';
import type { CacheMemory } from './cache-memory.ts';

/** Sealed first, then opened: buffers that were only needed for sealing do not lie between those that are kept. */
const AT_A_TIME = 1_000;

const count = Number(process.argv[2]);
const announcements = { subscribe: () => undefined, completeSince: () => 0 };
const renewFrom = (record: TokenRecord) => refreshAt(record, POLICY);
const cache = new TokenCache({ announcements, clock, maxBytes: 2 ** 40, renewFrom });
const codec = new RecordCodec(benchCipher());

globalThis.gc?.();
const before = residentBytes(process.pid);
while (cache.size < count) for (const [id, sealed] of sealedRecords()) put(id, sealed);
globalThis.gc?.();
const memory: CacheMemory = {
  before,
  after: residentBytes(process.pid),
  entries: cache.size,
  counted: cache.bytes,
};
process.stdout.write(JSON.stringify(memory));

function sealedRecords(): [SubjectId, Buffer][] {
  return newSubjects(Math.min(AT_A_TIME, count - cache.size)).map((named) => {
    const subject = { app: 'default', ...named };
    const id = subjectId(subject);
    const token = randomToken();
    const record = { subject, region: 'DE', token, generation: token.issuedAt, read: true, unreadRenewals: 0 };
    return [id, codec.encode(record, id, id)];
  });
}

/** As a read does what Redis answers. */
function put(id: SubjectId, sealed: Buffer): void {
  const record = codec.decode(sealed, id, id);
  if (record) cache.put(record, clock.now(), undefined);
}
