import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { Replica } from '../history/replica.ts';
import { ADMIN_TOKEN, startWorld, type World } from '../history/world.ts';
import { Facts } from '../judge/facts.ts';
import { reportFindings } from '../judge/finding-report.ts';
import { judge } from '../judge/judge.ts';
import type { VendorLogin } from '../judge/recording.ts';
import { eventually } from '../support/eventually.ts';
import { type PlainAnswer, plainRequest } from '../support/plain-request.ts';
import { isLeaver, isReader, type LateRedis, startApps } from './apps.ts';

/**
 * What `serve` of the last release loads: `npm run release -- --baseline v0.1.0` packs it. Until 0.1.0 is released: of
 * a commit from shortly before it.
 */
const LAST_RELEASE = fileURLToPath(new URL('last-release.tgz', import.meta.url));
/** Short, so that each token is renewed more than once. */
const TOKEN_LIFE_SECONDS = 10;
const PHASE_MS = 3_000;
const IDLE_TERMINALS = 10;
/** A replica that cannot ask Redis for a lease logs in without one. Its turn may come this much later. */
const LATE_ANSWERS_MS = 2_000;
/** Attempts to log in with Redis. Each one begins after the pause of a circuit breaker. */
const ATTEMPTS = 3;
const ATTEMPT_PAUSE_MS = 600;

test('replicas of the last release and of the present code share one Redis, upgraded and taken back under load', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'upgrade-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  execFileSync('tar', ['-xzf', LAST_RELEASE, '-C', folder]);
  const release = { entry: join(folder, 'dist/main.js'), until: '/readyz' } as const;
  const present = { until: '/readyz' } as const;
  const world = await startWorld({
    topology: 'single',
    tokenLifeSeconds: TOKEN_LIFE_SECONDS,
    folder,
    replicas: 2,
    start: release,
  });
  onTestFinished(() => world.close());
  const { history, vendor } = world;
  const [first, second] = world.replicas as [Replica, Replica];
  const traveller = await Traveller.arrive(world);
  const endApps = startApps(world, 1);
  const mixed: { readonly from: number; readonly until: number }[] = [];
  await sleep(PHASE_MS);
  for (const build of [present, release]) {
    await replace(first, build);
    const from = history.now();
    await traveller.returnsTo(first);
    await traveller.returnsTo(second);
    await sleep(PHASE_MS);
    mixed.push({ from, until: history.now() });
    const idle = await logInIdleTerminals(world, second);
    await replace(second, build);
    // No app reads these tokens: what one build has scheduled, the other one renews. On a busy machine, a few expire
    // first.
    const renewed = () => idle.filter((account) => vendor.loginsOf(account, 'phone') > 1).length;
    await eventually(() => renewed() > IDLE_TERMINALS / 2, { timeoutMs: TOKEN_LIFE_SECONDS * 1_000, everyMs: 50 });
  }
  const late = await endApps();

  const facts = new Facts(history);
  const reads = facts.reads();
  const failed = reads.filter(({ status }) => status !== 200);
  const perTerminal = [...facts.terminals()];
  const overlaps = perTerminal.flatMap((logins) => twoAtATime(logins, late));
  const readers = perTerminal.filter(([login]) => login && isReader(login.account));
  const stale = reads.filter((read) => isFromBeforeLogout(facts, read));
  process.stdout.write(
    `upgrade: ${reads.length} reads, ${failed.length} without a token, ${stale.length} with one from before a logout, ` +
      `${history.logins.length} logins of ${perTerminal.length} terminals (readers at most ` +
      `${Math.max(...readers.map(({ length }) => length))}), ${overlaps.length} while another was in flight, ` +
      `Redis late ${late.length} times\n`,
  );

  // The logouts of the traveller are not in the history.
  const logins = history.logins.filter(({ account }) => account !== 'traveller');
  const { bounds, replicas, exchanges, faults } = history;
  const judged = { bounds, replicas, exchanges, faults, logins };
  expect(reportFindings(judged, judge(judged))).toEqual([]);
  // Nothing excuses these, however busy the machine is.
  expect(failed.filter(({ account }) => isReader(account))).toEqual([]);
  // A leaver logs in again and again. On a busy machine, a login may find no place in the queue.
  const forLeavers: readonly unknown[] = ['session_forbidden', 'vendor_busy'];
  expect(failed.filter(({ account, code }) => isLeaver(account) && !forLeavers.includes(code))).toEqual([]);
  const found = history.exchanges.filter(({ kind, account }) => kind === 'account' && isReader(account));
  expect(found.filter(({ status, code }) => status !== 200 && code !== 'store_unavailable')).toEqual([]);
  expect(overlaps).toEqual([]);
  const mostLogins = 2 + history.now() / (0.6 * TOKEN_LIFE_SECONDS * 1_000);
  expect(readers.filter(({ length }) => length > mostLogins)).toEqual([]);
  expect(stale.length).toBeLessThan(0.02 * reads.filter(({ account }) => isLeaver(account)).length);
  // Upgraded and taken back: each build has served tokens that the other one obtained.
  for (const phase of mixed) expect(sharedTokens(facts, phase)).toBeGreaterThan(0);
});

/** As a rolling update does: the new process takes over while the former one ends. */
async function replace(replica: Replica, build: Parameters<Replica['start']>[0]): Promise<void> {
  const ended = replica.terminate();
  await replica.start(build);
  await ended;
}

/** Repeats the request while Redis does not answer in time, because the machine is busy. */
function answerTo(...request: Parameters<typeof plainRequest>): Promise<PlainAnswer> {
  return eventually(async () => {
    const answer = await plainRequest(...request);
    return answer.status === 503 ? Promise.reject(new Error(answer.body)) : answer;
  });
}

/** @returns the accounts, which log in at this replica and do nothing after that */
async function logInIdleTerminals({ cloud, history }: World, { urls }: Replica): Promise<readonly string[]> {
  const accounts = Array.from({ length: IDLE_TERMINALS }, (_, number) => `idle-${history.now().toFixed(0)}-${number}`);
  for (const unionId of accounts) {
    const authorization = `Bearer ${await cloud.issueSession({ unionId, region: 'DE' })}`;
    const answer = await answerTo(`${urls?.public}/sdk-token?uniqueId=phone`, { headers: { authorization } });
    expect(answer.status, answer.body).toBe(200);
  }
  return accounts;
}

/** An account from France, whose later sessions come from Germany. */
class Traveller {
  readonly #world: World;
  #accessId = '';

  private constructor(world: World) {
    this.#world = world;
  }

  static async arrive(world: World): Promise<Traveller> {
    const traveller = new Traveller(world);
    const [replica] = world.replicas;
    if (replica) await traveller.#logIn(replica, 'FR');
    return traveller;
  }

  /** Expects that this replica knows the account's accessId, and its country after a logout. */
  async returnsTo(replica: Replica): Promise<void> {
    const answer = await answerTo(`${replica.urls?.internal}/accounts/lookup`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ accessIds: [this.#accessId] }),
    });
    expect(answer.body).toContain('"traveller"');
    await this.#logIn(replica, 'DE');
  }

  /**
   * On a busy machine, Redis may not answer in time, and a login without Redis takes the country of the session. If
   * Redis had lost the country, each attempt would get that one.
   */
  async #logIn({ urls }: Replica, region: string): Promise<void> {
    const url = `${urls?.public}/sdk-token?uniqueId=phone`;
    const expands: string[] = [];
    while (expands.length < ATTEMPTS && !expands.at(-1)?.includes('"FR"')) {
      if (expands.length > 0) await sleep(ATTEMPT_PAUSE_MS);
      const session = await this.#world.cloud.issueSession({ unionId: 'traveller', region });
      const headers = { authorization: `Bearer ${session}` };
      expect((await answerTo(url, { method: 'DELETE', headers })).status).toBe(204);
      const { accessId, expand } = JSON.parse((await answerTo(url, { headers })).body);
      expands.push(expand);
      this.#accessId = accessId;
    }
    expect(expands.at(-1)).toContain('"FR"');
  }
}

/** The logins that began before the former one of the terminal was answered, although Redis could give leases. */
function twoAtATime(logins: readonly VendorLogin[], late: readonly LateRedis[]): VendorLogin[] {
  const inOrder = logins.toSorted((one, other) => one.receivedAt - other.receivedAt);
  return inOrder.filter(({ receivedAt }, index) => {
    const former = inOrder[index - 1];
    if (!former || former.answeredAt <= receivedAt) return false;
    return !late.some(({ from, until }) => from <= receivedAt && until >= former.receivedAt - LATE_ANSWERS_MS);
  });
}

/** Whether a read was answered with a token whose login began before a logout that had been answered. */
function isFromBeforeLogout(facts: Facts, read: Parameters<Facts['served']>[0]): boolean {
  const token = isLeaver(read.account) ? facts.served(read) : undefined;
  if (!token) return false;
  return facts.removalsOf(read).some(({ sentAt, endedAt }) => token.receivedAt < sentAt && endedAt < read.sentAt);
}

/** How many tokens that were issued in this time were served by both replicas within it. */
function sharedTokens(facts: Facts, { from, until }: { readonly from: number; readonly until: number }): number {
  const servedBy = new Map<string, Set<number>>();
  for (const [read, { token, receivedAt }] of facts.servedTokens()) {
    if (receivedAt < from || read.endedAt > until) continue;
    servedBy.set(token, (servedBy.get(token) ?? new Set()).add(read.replica));
  }
  return [...servedBy.values()].filter(({ size }) => size === 2).length;
}
