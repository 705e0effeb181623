import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { LEASE_MS } from '../../src/token/renewal-timing.ts';
import type { SubjectId } from '../../src/token/subject.ts';
import { type BrokerProcess, startBroker } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { keyRing, newKey, openRedisStore } from '../support/filled-store.ts';
import { startFleet } from '../support/fleet.ts';
import { accessTokenOf } from '../support/served-token.ts';

/** A lease of 5 s, a second until another replica notices its end, and a second for the login. */
const TAKEOVER_MS = 7_000;

/** Waits until both replicas serve the same token of alice's phone, and the vendor takes it. */
async function expectOneLiveToken(fleet: Awaited<ReturnType<typeof startFleet>>): Promise<void> {
  const session = await fleet.session('alice');
  await eventually(async () => {
    const answers = await Promise.all([0, 1, 0, 1].map((n) => fleet.broker(n).getToken(session, 'phone')));
    const tokens = new Set(answers.map(accessTokenOf));
    expect(tokens.size).toBe(1);
    for (const token of tokens) expect(fleet.vendor.checkToken(token).live).toBe(true);
  });
}

describe.concurrent('a replica that freezes during a login, until after the end of its lease', () => {
  test('is replaced by the other replica, and overwrites nothing after it resumes', async ({ onTestFinished }) => {
    const fleet = await startFleet({
      replicas: 2,
      vendor: { latencyMs: 400, mode: 'replace' },
      env: { VENDOR_TIMEOUT_MS: '1500' },
    });
    onTestFinished(() => fleet.close());
    const session = await fleet.session('alice');
    const frozen = fleet.broker(0);
    const atFrozen = frozen.getToken(session, 'phone');
    await eventually(() => fleet.vendor.state().requests === 1, { everyMs: 5 });
    frozen.signal('SIGSTOP');
    const taken = await fleet.broker(1).getToken(session, 'phone');
    expect(taken.status).toBe(200);
    expect(fleet.vendor.loginsOf('alice', 'phone')).toBe(2);
    frozen.signal('SIGCONT');
    const late = await atFrozen;
    expect([200, 504]).toContain(late.status);
    // Nobody knows which of the two overlapping logins the vendor received last. At most one more login ends the doubt.
    await expectOneLiveToken(fleet);
    expect(fleet.vendor.loginsOf('alice', 'phone')).toBeLessThanOrEqual(3);
  });
});

describe.concurrent('a replica that resumes while another one logs in for the same terminal', () => {
  test('gives its app a token: no logout, and at most one more login, whose token both serve', async ({
    onTestFinished,
  }) => {
    const fleet = await startFleet({
      replicas: 2,
      vendor: { latencyMs: 3_000, mode: 'replace' },
      env: { VENDOR_TIMEOUT_MS: '15000' },
    });
    onTestFinished(() => fleet.close());
    const session = await fleet.session('alice');
    const [frozen, other] = [fleet.broker(0), fleet.broker(1)];
    const atFrozen = frozen.getToken(session, 'phone');
    await eventually(() => fleet.vendor.state().requests === 1, { everyMs: 5 });
    frozen.signal('SIGSTOP');
    const atOther = other.getToken(session, 'phone');
    await eventually(() => fleet.vendor.state().requests === 2, { everyMs: 5, timeoutMs: 2 * TAKEOVER_MS });
    frozen.signal('SIGCONT');
    const [late, taken] = await Promise.all([atFrozen, atOther]);
    expect([late.status, taken.status]).toEqual([200, 200]);
    await expectOneLiveToken(fleet);
    expect(fleet.vendor.loginsOf('alice', 'phone')).toBeLessThanOrEqual(3);
  });
});

describe.concurrent('a replica that crashes during renewals', () => {
  test('loses no token: the other replica renews every token in time', async ({ onTestFinished }) => {
    const lifetimeMs = 26_000;
    const fleet = await startFleet({
      replicas: 2,
      vendor: { tokenLifetimeSeconds: lifetimeMs / 1_000, latencyMs: 10 },
      env: { VENDOR_TIMEOUT_MS: '1500' },
    });
    onTestFinished(() => fleet.close());
    const accounts = Array.from({ length: 40 }, (_, number) => `account-${number}`);
    const expiry = new Map<string, number>();
    for (const account of accounts) {
      const { body } = await fleet.broker(0).getToken(await fleet.session(account), 'phone');
      expiry.set(account, Number(JSON.parse(body).expireTime) * 1_000);
    }
    const [killed, survivor] = fleet.brokers;
    survivor?.signal('SIGSTOP');
    fleet.vendor.configure({ latencyMs: 1_000 });
    await eventually(() => fleet.vendor.state().requests >= 43, { timeoutMs: lifetimeMs, everyMs: 50 });
    killed?.signal('SIGKILL');
    await killed?.exit;
    const requests = () => fleet.vendor.state().requests;
    let interrupted = 0;
    // Its last requests may still be on their way to a busy vendor. No other replica sends any now.
    for (; interrupted !== requests() - 40; await sleep(500)) interrupted = requests() - 40;
    survivor?.signal('SIGCONT');
    fleet.vendor.configure({ latencyMs: 50 });
    const logins = new Map<string, number>();
    const lastLoginAt = new Map<string, number>();
    const watch = () => {
      for (const { unionId, logins: count } of fleet.vendor.state().loginsByTerminal) {
        if (logins.get(unionId) !== count) lastLoginAt.set(unionId, Date.now());
        logins.set(unionId, count);
      }
    };
    while (Date.now() < Math.max(...expiry.values())) await sleep(100).then(watch);
    // A login that the crash interrupted may have succeeded at the vendor. Then the terminal gets a third token.
    const counts = [...logins.values()];
    expect(counts.filter((count) => count === 2 || count === 3)).toHaveLength(40);
    expect(counts.filter((count) => count === 3).length).toBeLessThanOrEqual(interrupted);
    const late = accounts.filter((account) => (lastLoginAt.get(account) ?? 0) > (expiry.get(account) ?? 0));
    expect(late).toEqual([]);
    watch();
    const answers = await Promise.all(
      accounts.map(async (account) => survivor?.getToken(await fleet.session(account), 'phone')),
    );
    for (const answer of answers) {
      expect(answer?.status).toBe(200);
      expect(fleet.vendor.checkToken(accessTokenOf(answer ?? { body: '' })).live).toBe(true);
    }
    expect(interrupted).toBeGreaterThanOrEqual(3);
    // A read logs in for no token. On a slow machine, the oldest tokens fall due again meanwhile.
    const { loginsByTerminal } = fleet.vendor.state();
    const again = loginsByTerminal.filter(({ unionId, logins: count }) => logins.get(unionId) !== count);
    const ages = again.map(({ unionId }) => Date.now() - (lastLoginAt.get(unionId) ?? 0));
    expect(ages.filter((ageMs) => ageMs < lifetimeMs / 2)).toEqual([]);
  });
});

describe.concurrent('a replica that dies, with leases that it has extended beyond their first 5 s', () => {
  const WAITED_FOR = 6;
  const RENEWED = 6;
  const HANGING_MS = 30_000;

  test("a dead replica's subjects are renewed by another within 7 s: those that apps wait for, and those that it renews", async ({
    onTestFinished,
  }) => {
    const key = newKey('k1');
    const fleet = await startFleet({
      replicas: 1,
      vendor: { tokenLifetimeSeconds: 600 },
      // A token is due 3 s to 6 s after its login.
      env: { TOKEN_ENCRYPTION_KEYS: keyRing(key), VENDOR_TIMEOUT_MS: '30000', REFRESH_AT: '0.005-0.01' },
    });
    onTestFinished(() => fleet.close());
    const { vendor } = fleet;
    const read = async (replica: BrokerProcess, accounts: readonly string[]) => {
      const sessions = await Promise.all(accounts.map(fleet.session));
      return Promise.all(sessions.map((session) => replica.getToken(session, 'phone')));
    };
    const renewed = Array.from({ length: RENEWED }, (_, number) => `renewed-${number}`);
    const waitedFor = Array.from({ length: WAITED_FOR }, (_, number) => `waited-for-${number}`);
    const dying = fleet.broker(0);
    await read(dying, renewed);
    vendor.configure({ latencyMs: HANGING_MS });
    read(dying, waitedFor).catch(() => undefined);
    const attempts = RENEWED + WAITED_FOR + RENEWED;
    await eventually(() => vendor.state().requests === attempts);
    const survivor = await startBroker(fleet.env);
    onTestFinished(async () => void (await survivor.stop()));
    await sleep(LEASE_MS + 1_000);
    expect(vendor.state().requests).toBe(attempts);

    const store = await openRedisStore(fleet.env['REDIS_URL'] ?? '', fleet.keyPrefix, [key]);
    onTestFinished(() => store.close());
    await eventually(() => store.announcements.completeSince() !== undefined);
    const savedAfterMs = new Map<SubjectId, number>();
    dying.signal('SIGKILL');
    const killedAt = performance.now();
    store.announcements.subscribe((announcement) => {
      if (announcement.kind !== 'saved' || savedAfterMs.has(announcement.id)) return;
      savedAfterMs.set(announcement.id, performance.now() - killedAt);
    });
    vendor.configure({ latencyMs: 200 });
    expect((await read(survivor, waitedFor)).filter(({ status }) => status !== 200)).toEqual([]);
    await eventually(() => savedAfterMs.size === RENEWED + WAITED_FOR, { timeoutMs: 2 * TAKEOVER_MS });
    expect(Math.max(...savedAfterMs.values())).toBeLessThanOrEqual(TAKEOVER_MS);
  });
});
