import { expect, test } from 'vitest';
import type { BrokerProcess } from '../support/broker-process.ts';
import { debug, INSPECT } from '../support/debugger.ts';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';
import { introspectionAt } from '../unit/session/recording-server.ts';
import { DATA, SUCCESS, scriptedVendor } from '../unit/vendor-api/scripted-vendor.ts';

const MB = 2 ** 20;
/** 12 MB of this heap are free: 1.2 MB are for sessions, and 3.6 MB for tokens. */
const SMALL_HEAP = { NODE_OPTIONS: `${INSPECT} --max-old-space-size=36` };
/** 16 MiB are for sessions. */
const SMALL_CACHE = { NODE_OPTIONS: INSPECT, CACHE_MAX_MB: '1' };
/** Makes a session almost as long as the headers of a request may be, 16 KiB. */
const PADDING = 'x'.repeat(15_500);
/** As many sessions as an account may have in memory. */
const PER_ACCOUNT = 50;
const AT_ONCE = 5;
const KNOWN = Array.from({ length: 10 }, (_, number) => `known-${number}`);

/**
 * Starts a replica with known accounts. Its session server takes the text before the first dot of a session for the
 * account.
 */
async function startReplica(env: Readonly<Record<string, string>>) {
  const cloud = await scriptedVendor((response, { body }) => {
    const [sub] = new URLSearchParams(`${body}`).get('token')?.split('.') ?? [];
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ active: true, sub, region: 'DE' }));
  });
  // The others have short ones, because each answer would take its time.
  const vendor = await scriptedVendor((response, { body }) => {
    const accessToken = `${body}`.includes('newcomer-') ? 'x'.repeat(50_000) : 'short';
    response.end(JSON.stringify({ ...SUCCESS, data: { ...DATA, accessToken } }));
  });
  const fleet = await startFleet({
    replicas: 1,
    env: {
      ...introspectionAt(cloud.url.href),
      SESSION_CACHE_SECONDS: '3600',
      VENDOR_REGION_URLS: JSON.stringify({ DE: vendor.url }),
      ...env,
    },
  });
  const broker = fleet.broker(0);
  for (const session of KNOWN) expect((await broker.getToken(session, 'phone')).status).toBe(200);
  return { broker, questions: () => cloud.seen.length };
}

/** Megabytes of the objects that are in use, as V8 counts them for a debugger after it has collected the garbage. */
function heapOf(broker: BrokerProcess): Promise<number> {
  return debug(broker, async (call) => {
    await call('HeapProfiler.collectGarbage');
    const { usedSize } = (await call('Runtime.getHeapUsage')) as { readonly usedSize: number };
    return usedSize / MB;
  });
}

function longSessions(accounts: number, perAccount: number): readonly string[] {
  const sessions = Array.from({ length: accounts * perAccount }, (_, number) => `${number % accounts}.${number}`);
  return sessions.map((session) => `flood-${session}.${PADDING}`);
}

/** Reads a token with each of these sessions. All are served. */
async function flood(broker: BrokerProcess, sessions: readonly string[]): Promise<void> {
  const left = [...sessions];
  const readAll = async () => {
    for (let session = left.pop(); session; session = left.pop()) {
      const { status, body } = await broker.getToken(session, 'phone');
      expect(status, body).toBe(200);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, readAll));
}

// A session may take up to twice its counted bytes.
test.each([
  { limit: 'heap', env: SMALL_HEAP, accounts: 8, sessionsMb: 4, newcomers: 150, tokensMb: 5 },
  { limit: 'cache', env: SMALL_CACHE, accounts: 32, sessionsMb: 22, newcomers: 60, tokensMb: 1 },
])('the small $limit of a replica bounds what a flood of long sessions and long tokens takes', async (row) => {
  const { broker } = await startReplica(row.env);
  const grownBy = async (sessions: readonly string[]) => {
    const before = await heapOf(broker);
    await readDuring(broker, KNOWN, () => flood(broker, sessions));
    return (await heapOf(broker)) - before;
  };
  expect(await grownBy(longSessions(row.accounts, PER_ACCOUNT))).toBeLessThan(row.sessionsMb);
  const newcomers = Array.from({ length: row.newcomers }, (_, number) => `newcomer-${number}`);
  expect(await grownBy(newcomers)).toBeLessThan(row.tokensMb);
});

test('an account with many long sessions displaces its own ones only', async () => {
  const { broker, questions } = await startReplica(SMALL_HEAP);
  await flood(broker, longSessions(1, 3 * PER_ACCOUNT));
  const before = questions();
  for (const session of KNOWN) expect((await broker.getToken(session, 'phone')).status).toBe(200);
  expect(questions()).toBe(before);
});
