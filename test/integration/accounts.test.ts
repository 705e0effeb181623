import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { accountId } from '../../src/token/subject.ts';
import { type Replica, startBrokerService } from '../support/broker-service.ts';
import { eventually } from '../support/eventually.ts';
import { keyRing, newKey } from '../support/filled-store.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal, logOut } from '../support/internal-api.ts';
import { keysMatching, redisClient } from '../support/redis-client.ts';
import { accessTokenOf } from '../support/served-token.ts';

/** Two processes, for the tests that need no settings of their own. Each has its own accounts. */
let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ replicas: 2, env: { ADMIN_TOKEN } });
  return () => fleet.close();
});

/** Lets each login take this long until the end of the test. */
function setLatency(latencyMs: number): void {
  fleet.vendor.configure({ latencyMs });
  onTestFinished(() => fleet.vendor.configure({ latencyMs: 0 }));
}

/** Counts the requests to the vendor from now on. */
function countRequests({ vendor }: Fleet<Replica>): () => number {
  const before = vendor.state().requests;
  return () => vendor.state().requests - before;
}

/** Asks for the accessId of an account. */
function obtain(broker: Replica, unionId: string, query = '?regRegion=DE') {
  return askInternal(broker, `PUT /accounts/${unionId}/access-id${query}`);
}

/** All keys of the fleet in Redis, and the members of those that several accounts share. */
async function storedInRedis(): Promise<string[]> {
  const redis = redisClient();
  const keys = await keysMatching(`${fleet.keyPrefix}:*`, redis);
  const queues = keys.filter((key) => key.endsWith(':due'));
  const members = queues.map(async (key) => (await redis.zrange(key, '0', '-1')).map((member) => `${key} ${member}`));
  return [...keys, ...(await Promise.all(members)).flat()];
}

describe('a refused token', () => {
  test('reported 40 times at once on two replicas causes exactly one login, and every report gets the new token', async () => {
    setLatency(300);
    const session = await fleet.session('alice');
    const { headers, body } = await fleet.broker(0).getToken(session, 'phone');
    const report = { refused: headers.etag };
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, number) => fleet.broker(number).getToken(session, 'phone', report)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(40);
    const tokens = new Set(answers.map(accessTokenOf));
    expect(tokens.size).toBe(1);
    expect(tokens).not.toContain(accessTokenOf({ body }));
    expect(fleet.vendor.loginsOf('alice', 'phone')).toBe(2);
    const late = await fleet.broker(1).getToken(session, 'phone', report);
    expect(tokens).toContain(accessTokenOf(late));
    expect(fleet.vendor.loginsOf('alice', 'phone')).toBe(2);
  });
});

describe('a logout', () => {
  test('during a login also fails a request that waits on another replica, and brings no token back', async () => {
    setLatency(4_000);
    const requests = countRequests(fleet);
    const session = await fleet.session('waits');
    const first = fleet.broker(0).getToken(session, 'phone');
    await eventually(() => requests() === 1);
    const waiting = fleet.broker(1).getToken(session, 'phone');
    await sleep(1_000);
    expect((await logOut(fleet.broker(0), session)).status).toBe(204);
    expect([(await waiting).status, (await first).status]).toEqual([403, 403]);
    const { terminals = [] } = JSON.parse((await askInternal(fleet.broker(0), 'GET /accounts/waits')).body);
    expect(terminals).toEqual([]);
    expect([requests(), fleet.vendor.state().concurrent]).toEqual([1, 0]);
  });

  test('on one replica stops the other replica from returning the token within a second', async ({ annotate }) => {
    const session = await fleet.session('logged-out');
    const old = accessTokenOf(await fleet.broker(0).getToken(session, 'phone'));
    for (let round = 0; round < 20; round += 1) await fleet.broker(1).getToken(session, 'phone');
    expect((await logOut(fleet.broker(0), session)).status).toBe(204);
    const loggedOutAt = performance.now();
    await eventually(
      async () => expect(accessTokenOf(await fleet.broker(1).getToken(session, 'phone'))).not.toBe(old),
      { timeoutMs: 1_000, everyMs: 1 },
    );
    await annotate(`the other replica received it after ${(performance.now() - loggedOutAt).toFixed(1)} ms`);
    expect((await logOut(fleet.broker(1), session)).status).toBe(204);
    expect((await logOut(fleet.broker(1), session)).status).toBe(204);
  });
});

describe('an erasure', () => {
  test('rejects old sessions on the other replica, accepts newer ones, and leaves only its own time in Redis', async ({
    annotate,
  }) => {
    const storedBefore = await storedInRedis();
    const before = await fleet.cloud.issueSession({
      unionId: 'erased',
      region: 'DE',
      claims: { iat: Math.floor(Date.now() / 1_000) - 10 },
    });
    const { body } = await fleet.broker(0).getToken(before, 'phone');
    await fleet.broker(1).getToken(before, 'phone');
    const { accessId } = JSON.parse(body);
    const lookUp = async () =>
      JSON.parse((await askInternal(fleet.broker(1), 'POST /accounts/lookup', { accessIds: [accessId] })).body);
    expect(await lookUp()).toEqual({ [accessId]: 'erased' });

    expect((await askInternal(fleet.broker(0), 'DELETE /accounts/erased')).status).toBe(204);
    const erasedAt = performance.now();
    await eventually(async () => expect((await fleet.broker(1).getToken(before, 'phone')).status).toBe(401), {
      timeoutMs: 5_000,
      everyMs: 1,
    });
    await annotate(`the other replica received it after ${(performance.now() - erasedAt).toFixed(1)} ms`);
    expect((await fleet.broker(0).getToken(before, 'phone')).status).toBe(401);
    expect(await lookUp()).toEqual({});
    expect((await askInternal(fleet.broker(1), 'GET /accounts/erased')).status).toBe(404);
    // Redis only keeps a digest of the account with the time of the erasure.
    const added = (await storedInRedis()).filter((stored) => !storedBefore.includes(stored));
    expect(added.filter((stored) => !/:(?:a:[\w-]{22}|changes|\{replicas\})$/.test(stored))).toEqual([]);

    const after = await fleet.cloud.issueSession({
      unionId: 'erased',
      region: 'DE',
      claims: { iat: Math.floor(Date.now() / 1_000) + 2 },
    });
    expect((await fleet.broker(1).getToken(after, 'phone')).status).toBe(200);
    expect((await fleet.broker(0).getToken(before, 'phone')).status).toBe(401);
    expect(await logOut(fleet.broker(0), before)).toMatchObject({
      status: 401,
      body: expect.stringContaining('"session_invalid"'),
    });
    expect((await fleet.broker(0).getToken(after, 'phone')).status).toBe(200);
    expect(fleet.vendor.loginsOf('erased', 'phone')).toBe(2);

    // A session that is always older says so, and the operator learns it once.
    const withoutTime: Record<string, unknown> = { iat: undefined };
    const untimed = await fleet.cloud.issueSession({ unionId: 'erased', claims: withoutTime });
    const refusals = [];
    for (let i = 0; i < 5; i += 1) refusals.push(await fleet.broker(0).getToken(untimed, 'phone'));
    refusals.push(await logOut(fleet.broker(0), untimed));
    const details = refusals.map(({ body }) => JSON.parse(body).detail);
    expect(new Set(details)).toEqual(new Set([expect.stringMatching(/no time of issue.*SESSION_CLAIM_ISSUED_AT$/)]));
    const warnings = fleet
      .broker(0)
      .log()
      .map((line) => JSON.parse(line))
      .filter(({ msg }) => msg === details[0]);
    expect(warnings).toMatchObject([{ level: 'warn', account: accountId('erased') }]);
  });
});

describe('the accessId of an account', () => {
  test('that never logged in, obtained twenty times at once on two replicas, costs one login and no terminal', async () => {
    setLatency(500);
    const [requests, storedBefore] = [countRequests(fleet), await storedInRedis()];
    const answers = await Promise.all(Array.from({ length: 20 }, (_, number) => obtain(fleet.broker(number), 'bob')));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
    expect(requests()).toBe(1);
    const { accessId, region } = JSON.parse(answers[0]?.body ?? '');
    expect(region).toBe('DE');

    const lookup = await askInternal(fleet.broker(1), 'POST /accounts/lookup', {
      accessIds: [accessId, 'none'],
    });
    expect(JSON.parse(lookup.body)).toEqual({ [accessId]: 'bob' });
    const account = await askInternal(fleet.broker(0), 'GET /accounts/bob');
    expect(JSON.parse(account.body)).toEqual({ accessId, region: 'DE', terminals: [], terminalLimit: 20 });
    const added = (await storedInRedis()).filter((stored) => !storedBefore.includes(stored));
    expect(added.filter((stored) => stored.includes(':due'))).toEqual([]);

    setLatency(0);
    const session = await fleet.session('bob');
    for (let phone = 0; phone < 20; phone += 1) {
      const { body } = await fleet.broker(phone).getToken(session, `phone-${phone}`);
      expect(JSON.parse(body).accessId).toBe(accessId);
    }
    expect((await obtain(fleet.broker(1), 'bob', '')).body).toBe(answers[0]?.body);
    expect(requests()).toBe(21);
  });

  test('whose directory entry no key opens is obtained again, in the pinned country', async () => {
    const requests = countRequests(fleet);
    const before = await obtain(fleet.broker(0), 'dave');
    expect(JSON.parse(before.body).region).toBe('DE');
    const otherKey = await startBrokerService({ ...fleet.env, TOKEN_ENCRYPTION_KEYS: keyRing(newKey('other')) });
    for (const query of ['', '?regRegion=FR']) {
      const { status, body } = await obtain(otherKey, 'dave', query);
      expect([status, JSON.parse(body)]).toEqual([200, JSON.parse(before.body)]);
    }
    expect(requests()).toBe(2);
    const unknown = await obtain(otherKey, 'erin', '');
    expect([unknown.status, JSON.parse(unknown.body).code]).toEqual([400, 'request_invalid']);
    expect(requests()).toBe(2);
  });
});
