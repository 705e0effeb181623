import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal, logOut } from '../support/internal-api.ts';
import { type PlainAnswer, plainRequest } from '../support/plain-request.ts';
import { askRedis, type RedisServer, startRedis } from '../support/redis-server.ts';
import { accessTokenOf } from '../support/served-token.ts';

const PHONE = 'phone';
/** Longer than one command may take, and shorter than any outage that a person would notice. */
const STALL_MS = 700;
/** How soon the replicas agree on the token of a terminal after a stall of Redis, and after a restart. */
const SETTLED_MS = 10_000;

/** Each test has its own accounts. */
let world: { readonly fleet: Fleet; readonly redis: RedisServer };

beforeAll(async () => {
  const redis = await startRedis();
  const fleet = await startFleet({
    replicas: 2,
    vendor: { mode: 'replace' },
    env: { REDIS_URL: redis.url, ADMIN_TOKEN },
  });
  world = { fleet, redis };
  return () => Promise.all([fleet.close(), redis.kill()]);
});

/** Lets each login take this long until the end of the test. */
function setLatency(latencyMs: number): void {
  world.fleet.vendor.configure({ latencyMs });
  onTestFinished(() => world.fleet.vendor.configure({ latencyMs: 0 }));
}

/** Counts the logins that the vendor gets and completes from now on. */
function countLogins({ vendor }: Fleet) {
  const before = vendor.state();
  return () => {
    const { requests, succeeded } = vendor.state();
    return { requests: requests - before.requests, succeeded: succeeded - before.succeeded };
  };
}

/** The session of an account that logs in after an erasure. Sessions are issued to the second. */
async function laterSession(fleet: Fleet, unionId: string): Promise<string> {
  await sleep(1_100);
  return fleet.session(unionId);
}

async function untilAnswered(status: number, request: () => Promise<PlainAnswer>): Promise<void> {
  await eventually(async () => (await request()).status === status, { timeoutMs: 3_000, everyMs: 10 });
}

async function stalled(redis: RedisServer, during: () => Promise<unknown>, ms = STALL_MS): Promise<void> {
  const endsAt = performance.now() + ms;
  redis.pause();
  await during();
  await sleep(Math.max(0, endsAt - performance.now()));
  redis.resume();
}

/**
 * Expects that the replicas soon serve one token that the vendor takes, and also 1.5 s later, when each replica has
 * written its own: it may be another one.
 */
async function expectOneLiveToken(session: string, { brokers, vendor } = world.fleet): Promise<string> {
  const agreed = () =>
    eventually(
      async () => {
        const answers = await Promise.all(brokers.map((broker) => broker.getToken(session, PHONE)));
        const tokens = new Set(answers.map((answer) => accessTokenOf(answer)));
        const [token = ''] = tokens;
        const isAgreed = tokens.size === 1 && vendor.checkToken(token).live;
        return isAgreed ? token : Promise.reject(new Error('the replicas do not serve one live token'));
      },
      { timeoutMs: SETTLED_MS },
    );
  await agreed();
  // The token of another login may reach Redis by now. The broker does not know which of the two the vendor has ended.
  await sleep(1_500);
  return agreed();
}

describe('a login that could not get a lease because Redis stalled', () => {
  test.each([
    ['a logout on the same replica', 0, 'logout', 403],
    ['a logout on another replica', 1, 'logout', 403],
    ['an erasure on another replica', 1, 'erasure', 401],
  ] as const)('is ended by %s: its token goes nowhere', async (_what, number, act, status) => {
    const { fleet, redis } = world;
    setLatency(3_000);
    const logins = countLogins(fleet);
    const account = `${act}-on-${number}`;
    const session = await fleet.session(account);
    const broker = fleet.broker(number);
    let reading: Promise<PlainAnswer> | undefined;
    await stalled(redis, async () => {
      reading = fleet.broker(0).getToken(session, PHONE);
      await eventually(() => logins().requests === 1, { everyMs: 5 });
    });
    await untilAnswered(204, () =>
      act === 'logout' ? logOut(broker, session) : askInternal(broker, `DELETE /accounts/${account}`),
    );
    expect(logins().succeeded).toBe(0);
    const later = act === 'logout' ? session : await laterSession(fleet, account);
    const read = await reading;
    expect(read).toMatchObject({ status });
    expect(JSON.parse(read?.body ?? '').code).toBe(status === 403 ? 'session_forbidden' : 'session_invalid');
    if (act === 'erasure') {
      await sleep(1_500);
      for (const one of fleet.brokers) {
        expect(await askInternal(one, `GET /accounts/${account}`)).toMatchObject({ status: 404 });
        expect(await one.getToken(session, PHONE)).toMatchObject({ status: 401 });
      }
    }
    fleet.vendor.configure({ latencyMs: 0 });
    await expectOneLiveToken(later);
    expect(fleet.vendor.loginsOf(account, PHONE)).toBe(2);
  });
});

describe('a Redis that went back in time', () => {
  test('gets newer tokens, logouts and erasures back, and each replica says so', async () => {
    const { fleet, redis } = world;
    const session = await fleet.session('renewed');
    const [loggedOut, erased] = [await fleet.session('bob'), await fleet.session('carol')];
    const first = await fleet.broker(0).getToken(session, PHONE);
    const tokens: string[] = [];
    for (const one of [loggedOut, erased]) tokens.push(accessTokenOf(await fleet.broker(1).getToken(one, PHONE)));
    for (const broker of fleet.brokers) {
      for (const one of [session, loggedOut, erased]) await broker.getToken(one, PHONE);
    }
    await askRedis(redis, (client) => client.save());
    const refused = first.headers.etag;
    const second = await fleet.broker(0).getToken(session, PHONE, { refused });
    expect(await logOut(fleet.broker(0), loggedOut)).toMatchObject({ status: 204 });
    expect(await askInternal(fleet.broker(1), 'DELETE /accounts/carol')).toMatchObject({ status: 204 });
    await redis.kill();
    await redis.restart();
    for (const broker of fleet.brokers) {
      await eventually(() => broker.log().some((line) => line.includes('went back in time')), {
        timeoutMs: SETTLED_MS,
      });
    }
    expect(await expectOneLiveToken(session)).toBe(accessTokenOf(second));
    for (const broker of fleet.brokers) {
      expect(await broker.getToken(erased, PHONE)).toMatchObject({ status: 401 });
      expect(await askInternal(broker, 'GET /accounts/carol')).toMatchObject({ status: 404 });
      const again = await broker.getToken(loggedOut, PHONE);
      expect(again.status).toBe(200);
      expect(tokens).not.toContain(accessTokenOf(again));
      const metrics = await plainRequest(`${broker.adminUrl}/metrics`);
      expect(metrics.body).toMatch(/sdk_token_broker_redis_data_losses_total\{history="went_back"\} [1-9]/);
    }
  });
});

test('an erasure that was answered 503, because Redis stalled, does not take place later', async () => {
  const { fleet, redis } = world;
  const session = await fleet.session('stays');
  const { body } = await fleet.broker(0).getToken(session, PHONE);
  await stalled(redis, async () => {
    expect(await askInternal(fleet.broker(0), 'DELETE /accounts/stays')).toMatchObject({ status: 503 });
    expect(await logOut(fleet.broker(0), session)).toMatchObject({ status: 503 });
  });
  await eventually(async () => (await askInternal(fleet.broker(0), 'GET /accounts/stays')).status === 200);
  await sleep(1_000);
  expect(await fleet.broker(0).getToken(session, PHONE)).toMatchObject({ status: 200, body });
  await eventually(async () => {
    const { terminals } = JSON.parse((await askInternal(fleet.broker(0), 'GET /accounts/stays')).body);
    expect(terminals).toHaveLength(1);
  });
});
