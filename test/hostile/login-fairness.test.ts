import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Fleet, startFleet, startServices } from '../support/fleet.ts';
import { expectPrompt, NEWCOMER_MS } from '../support/honest-reads.ts';
import { logOut } from '../support/internal-api.ts';
import type { PlainAnswer } from '../support/plain-request.ts';

const BAD_ACCOUNTS = 25;
const NEWCOMERS = 40;
const NEWCOMER_EVERY_MS = 200;

interface Timed extends PlainAnswer {
  readonly tookMs: number;
}

async function timed(request: Promise<PlainAnswer>): Promise<Timed> {
  const startedAt = performance.now();
  const answer = await request;
  return { ...answer, tookMs: performance.now() - startedAt };
}

/** Lets the account log in and out until `isOver`. */
async function logInAndOut(fleet: Fleet, number: number, isOver: () => boolean): Promise<void> {
  const session = await fleet.session(`bad-${number}`);
  while (!isOver()) {
    const { status } = await fleet.broker(number).getToken(session, 'phone');
    await (status === 200 ? logOut(fleet.broker(number), session) : sleep(250));
  }
}

test('25 accounts that log in and out in a loop hold up neither newcomers nor known tokens', async () => {
  // Without the limits of an account, so that only the queue protects the others.
  const fleet = await startFleet({ replicas: 2, vendor: { latencyMs: 50 }, env: { VENDOR_MAX_RPS: '10' } });
  const known = await fleet.session('known');
  await fleet.broker(0).getToken(known, 'phone');
  const sessions = await Promise.all(Array.from({ length: NEWCOMERS }, (_, number) => fleet.session(`new-${number}`)));

  // The time of a newcomer on this machine without the attack.
  const alone = await timed(fleet.broker(1).getToken(await fleet.session('alone'), 'phone'));

  let isOver = false;
  const attack = Array.from({ length: BAD_ACCOUNTS }, (_, number) => logInAndOut(fleet, number, () => isOver));
  // The first logins of the bad accounts are newcomers too.
  await sleep(3_000);
  const before = fleet.vendor.state().succeeded;
  const newcomers: Promise<Timed>[] = [];
  const knownReads: Promise<Timed>[] = [];
  for (const [number, session] of sessions.entries()) {
    newcomers.push(timed(fleet.broker(number).getToken(session, 'phone')));
    for (const broker of fleet.brokers) knownReads.push(timed(broker.getToken(known, 'phone')));
    await sleep(NEWCOMER_EVERY_MS);
  }
  const answers = await Promise.all(newcomers);
  isOver = true;
  await Promise.all(attack);

  const inTime = answers.filter(({ status, tookMs }) => status === 200 && tookMs < NEWCOMER_MS + alone.tookMs);
  expect(inTime.length).toBeGreaterThanOrEqual(0.95 * NEWCOMERS);
  const reads = await Promise.all(knownReads);
  expect(reads.filter(({ status }) => status !== 200)).toEqual([]);
  const tookMs = reads.map((read) => read.tookMs);
  expectPrompt(tookMs, alone.tookMs);
  // The bad accounts got what was left: their demand was there all the time.
  expect(fleet.vendor.state().succeeded - before).toBeGreaterThan(NEWCOMERS + 10);
});

test('an account that logs in and out in a loop gets no more than its limit, over all replicas', async () => {
  const env = { LOGIN_LIMIT_PER_HOUR: '60', TERMINALS_PER_ACCOUNT: '6' };
  const fleet = await startServices({ replicas: 2, vendor: { latencyMs: 50 }, env });
  const session = await fleet.session('bad');
  const statuses: number[] = [];
  for (let round = 0; round < 20; round += 1) {
    statuses.push((await fleet.broker(round).getToken(session, 'phone')).status);
    statuses.push((await logOut(fleet.broker(round + 1), session)).status);
  }
  expect(statuses.filter((status) => status === 200)).toHaveLength(3);
  expect(statuses.filter((status) => status === 204)).toHaveLength(3);
  expect(statuses.slice(6)).toEqual(Array(34).fill(429));
  expect(fleet.vendor.state().succeeded).toBe(3);
  const honest = await fleet.broker(0).getToken(await fleet.session('honest'), 'phone');
  expect(honest.status).toBe(200);
});
