// Counts the files of src/ that one read or renewal enters on a warm process, by V8 coverage. Exits with 1 if a count is
// above its limit. A file counts if at least one of its functions runs. The start of the process does not count.
// Without tsx (Node.js 22.18 or later), it also counts the lines that ran: of code, and not of brackets alone.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Profiler } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import * as nodeModule from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../src/config/config.ts';
import { startService } from '../src/service.ts';
import { startCustomerCloud } from '../src/simulator/customer-cloud.ts';
import { vendorSettings } from '../src/simulator/vendor-simulator.ts';
import type { TokenRecord } from '../src/token/sdk-token.ts';
import type { Subject } from '../src/token/subject.ts';
import { captureLog } from '../test/support/captured-log.ts';
import { exitOf } from '../test/support/child-process.ts';
import { eventually } from '../test/support/eventually.ts';
import { keyRing, newKey, openRedisStore } from '../test/support/filled-store.ts';
import { freePort } from '../test/support/free-port.ts';
import { LIFE_MS, madeUpRecord, madeUpToken } from '../test/support/made-up-tokens.ts';
import { plainRequest } from '../test/support/plain-request.ts';
import { startRedis } from '../test/support/redis-server.ts';

const LIMITS = { firstRead: 27, backgroundRenewal: 32, firstLogin: 45 };
/** A first read ran 504 lines before its path was made faster. */
const LINES_OF_FIRST_READ = 503;
/** Node.js replaces the types by spaces, so all other code keeps its place. tsx does not. */
const { stripTypeScriptTypes = String } = nodeModule as { stripTypeScriptTypes?: (code: string) => string };
const COUNTS_LINES = !process.execArgv.includes('tsx');

const SRC = new URL('../src/', import.meta.url).href;
/** The simulator and the command line do not serve requests. */
const EXCLUDED = /^(simulator|commands)\/|^main\.ts$/;
const KEY_PREFIX = 'files-entered';
const WARM_UPS = 5;
/** A background job may run during a read, so the window with the fewest files counts. */
const WINDOWS = 5;
/** Work after the answer, for example the write of the read flag, ends within this time. */
const SETTLE_MS = 100;
/** Length of the window with the renewal, and of the idle window before it. */
const RENEWAL_WINDOW_MS = 3_000;

const redis = await startRedis();
const cloud = await startCustomerCloud();
const vendorUrl = await startVendorProcess();
const key = newKey('k1');
const profiler = new Session();
profiler.connect();
await profiler.post('Profiler.enable');
await profiler.post('Profiler.startPreciseCoverage', { callCount: true, detailed: COUNTS_LINES });
const config = loadConfig({
  HOST: '127.0.0.1',
  PORT: '0',
  ADMIN_PORT: '0',
  REDIS_URL: redis.url,
  REDIS_KEY_PREFIX: KEY_PREFIX,
  TOKEN_ENCRYPTION_KEYS: keyRing(key),
  ...vendorSettings(vendorUrl),
  ...cloud.brokerEnvironment,
});
const service = await startService(config, captureLog(config.logLevel).logger, 'files-entered');

const firstRead = await measureFirstReads(true);
const counts = [show('first read', LIMITS.firstRead, firstRead), firstRead.lines <= LINES_OF_FIRST_READ];
print('first read that sets the read flag, for comparison', await measureFirstReads(false));
counts.push(
  show('background renewal', LIMITS.backgroundRenewal, await measureRenewal()),
  show('first login', LIMITS.firstLogin, await measureReads(newSubjects())),
);
await service.close();
await Promise.all([cloud.close(), redis.stop()]);
process.exit(counts.every((isWithinLimit) => isWithinLimit) ? 0 : 1);

/**
 * The tokens are in Redis, but not in memory, and each session is new.
 * @param read whether an app has read the token before, through another replica. If not, the broker sets the read flag
 */
async function measureFirstReads(read: boolean): Promise<Entered> {
  const subjects = newSubjects();
  await store(subjects.map((subject) => [{ ...madeUpRecord(subject), read }, Date.now() + LIFE_MS / 2]));
  return measureReads(subjects);
}

/** Lets each subject read once. Returns the files that the last reads entered, without the warm-up. */
async function measureReads(subjects: readonly Subject[]): Promise<Entered> {
  const windows: Entered[] = [];
  for (const { unionId, uniqueId } of subjects) {
    const authorization = `Bearer ${await cloud.issueSession({ unionId, region: 'DE' })}`;
    const entered = await enteredDuring(async () => {
      const { status } = await plainRequest(`${service.url}/sdk-token?uniqueId=${uniqueId}`, {
        headers: { authorization },
      });
      if (status !== 200) throw new Error(`the broker answered with ${status}`);
      await sleep(SETTLE_MS);
    });
    windows.push(entered);
  }
  const measured = windows.slice(WARM_UPS);
  const [least] = measured.sort((one, other) => one.files.length - other.files.length || one.lines - other.lines);
  return least ?? { files: [], lines: 0 };
}

/** The worker renews a token that becomes due during the window. */
async function measureRenewal(): Promise<Entered> {
  const [measured, ...warmUps] = newSubjects().map(dueRecord) as [TokenRecord, ...TokenRecord[]];
  const before = await logins();
  const dueAt = Date.now() + 3.5 * RENEWAL_WINDOW_MS;
  await store([...warmUps.map((record): Stored => [record, Date.now()]), [measured, dueAt]]);
  const renewed = before + warmUps.length;
  await eventually(async () => (await logins()) === renewed, { timeoutMs: RENEWAL_WINDOW_MS });
  await sleep(dueAt - 2.5 * RENEWAL_WINDOW_MS - Date.now());
  print('idle process, for comparison', await enteredDuring(() => sleep(RENEWAL_WINDOW_MS)));
  await sleep(dueAt - RENEWAL_WINDOW_MS / 2 - Date.now());
  const entered = await enteredDuring(() => sleep(RENEWAL_WINDOW_MS));
  const renewals = (await logins()) - renewed;
  if (renewals !== 1) throw new Error(`the worker renewed ${renewals} tokens during the window instead of 1`);
  return entered;
}

function dueRecord(subject: Subject): TokenRecord {
  const { fields, issuedAt, expiresAt } = madeUpToken();
  const agoMs = 0.95 * LIFE_MS;
  return madeUpRecord(subject, { fields, issuedAt: issuedAt - agoMs, expiresAt: expiresAt - agoMs });
}

function newSubjects(): Subject[] {
  return Array.from({ length: WARM_UPS + WINDOWS }, () => ({
    app: 'default',
    unionId: randomUUID(),
    uniqueId: randomUUID(),
  }));
}

type Stored = readonly [record: TokenRecord, dueAt: number];

/** Stores tokens like another replica. Closes the store, so that its background jobs do not count. */
async function store(records: readonly Stored[]): Promise<void> {
  const otherReplica = await openRedisStore(redis.url, KEY_PREFIX, [key]);
  for (const [record, dueAt] of records) await otherReplica.terminals.restore(record, dueAt);
  await otherReplica.close();
}

interface Entered {
  readonly files: readonly string[];
  /** 0 if they are not counted. */
  readonly lines: number;
}

/** The files of src/ with a function that ran during `act`, other than the evaluation of the module. */
async function enteredDuring(act: () => Promise<void>): Promise<Entered> {
  // This call sets all counters to 0.
  await profiler.post('Profiler.takePreciseCoverage');
  await act();
  const { result } = await profiler.post('Profiler.takePreciseCoverage');
  const entered = result
    .map(({ url, functions }) => ({ url: url.split('?')[0] ?? '', functions: functions.filter(isInModule) }))
    .filter(({ url }) => url.startsWith(SRC) && !EXCLUDED.test(url.slice(SRC.length)))
    .filter(({ functions }) => functions.some(({ ranges: [range] }) => (range?.count ?? 0) > 0));
  const files = new Set(entered.map(({ url }) => url.slice(SRC.length)));
  const lines = COUNTS_LINES ? entered.reduce((sum, { url, functions }) => sum + linesRun(url, functions), 0) : 0;
  return { files: [...files].sort(), lines };
}

/** Whether it is a function, and not the evaluation of the module. */
function isInModule({ functionName, ranges: [range] }: Profiler.FunctionCoverage): boolean {
  return functionName !== '' || range?.startOffset !== 0;
}

function linesRun(url: string, functions: readonly Profiler.FunctionCoverage[]): number {
  const code = stripTypeScriptTypes(readFileSync(new URL(url), 'utf8'));
  const isRun = new Uint8Array(code.length);
  // The ranges inside another one come after it.
  const ranges = functions
    .flatMap((one) => one.ranges)
    .sort((one, other) => one.startOffset - other.startOffset || other.endOffset - one.endOffset);
  for (const { startOffset, endOffset, count } of ranges) isRun.fill(Math.min(count, 1), startOffset, endOffset);
  const run = [...code.matchAll(/^.+$/gm)].filter(({ 0: line, index }) => {
    const hasCode = !/^\s*(?:[\])}; ,]*|\/\/.*|\/?\*.*)$/.test(line);
    return hasCode && [...line].some((character, at) => character.trim() !== '' && isRun[index + at] === 1);
  });
  return run.length;
}

/** The simulator runs in another process, because it shares files with the service. */
async function startVendorProcess(): Promise<string> {
  const port = await freePort();
  const args = ['--import', 'tsx', 'src/main.ts', 'simulate-vendor', '--port', `${port}`];
  const cwd = fileURLToPath(new URL('../', import.meta.url));
  void exitOf(spawn(process.execPath, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] }));
  const url = `http://127.0.0.1:${port}`;
  await eventually(() => plainRequest(`${url}/simulator/state`), { timeoutMs: 30_000 });
  return url;
}

async function logins(): Promise<number> {
  return JSON.parse((await plainRequest(`${vendorUrl}/simulator/state`)).body).succeeded;
}

/** Prints the files. Returns whether their number is within the limit. */
function show(name: string, limit: number, entered: Entered): boolean {
  print(`${name} (limit ${limit})`, entered);
  return entered.files.length <= limit;
}

function print(title: string, { files, lines }: Entered): void {
  const run = COUNTS_LINES ? `, ${lines} lines run` : '';
  process.stdout.write(`${title}: ${files.length} files${run}\n${files.map((file) => `  ${file}\n`).join('')}\n`);
}
