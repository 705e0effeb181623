import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { recordingServer } from '../unit/session/recording-server.ts';

const KICK_OUTS = Number(process.env['KICK_OUTS'] ?? 10);
/** At the same time. */
const USERS = 5;
const PHONES = 12;
const LATENCY_MS = 300;
/** So long after the answer, an ended session gets no token. */
const ENDED_MS = 1_000;
const WATCH_MS = 2_500;

/** How a customer cloud issues and ends sessions. */
interface Cloud {
  readonly env: Readonly<Record<string, string>>;
  issue(fleet: Fleet, unionId: string): Promise<string>;
  end(session: string): void;
  /** Its clock is ahead: a session looks newer than its end, so only the cloud refuses it. */
  readonly isAhead: boolean;
}

const jwt = async (): Promise<Cloud> => ({
  env: {},
  issue: (fleet, unionId) => fleet.session(unionId),
  end: () => undefined,
  isAhead: false,
});

const forward = async (aheadSeconds = 0): Promise<Cloud> => {
  const ended = new Set<string>();
  const { origin } = await recordingServer(({ headers }, response) => {
    const session = headers.authorization?.slice('Bearer '.length) ?? '';
    const [sub, iat] = session.split('.');
    response.statusCode = ended.has(session) ? 401 : 200;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ sub, region: 'DE', iat: Number(iat) }));
  });
  return {
    env: { SESSION_MODE: 'forward', SESSION_FORWARD_URL: origin },
    issue: async (_fleet, unionId) => `${unionId}.${Math.floor(Date.now() / 1_000) + aheadSeconds}`,
    end: (session) => ended.add(session),
    isAhead: aheadSeconds > 0,
  };
};

/** One user reads on all replicas with all phones, is kicked out at a random time, reads on, and logs in again. */
async function kickOut(fleet: Fleet, cloud: Cloud, unionId: string) {
  const session = await cloud.issue(fleet, unionId);
  const reads: { readonly sentAt: number; readonly endedAt: number; readonly status: number }[] = [];
  const running = new Set<Promise<unknown>>();
  const read = async () => {
    const sentAt = performance.now();
    const { status } = await fleet.broker(randomInt(3)).getToken(session, `phone-${randomInt(PHONES)}`);
    reads.push({ sentAt, endedAt: performance.now(), status });
  };
  const readUntil = async (until: () => boolean) => {
    while (!until()) {
      const one: Promise<unknown> = read().finally(() => running.delete(one));
      running.add(one);
      await sleep(randomInt(40));
    }
  };
  const logins = () =>
    Array.from({ length: PHONES }, (_, phone) => fleet.vendor.loginsOf(unionId, `phone-${phone}`)).reduce(
      (sum, count) => sum + count,
    );

  // From now on, the broker knows the account.
  await read();
  let answeredAt = Number.POSITIVE_INFINITY;
  const reading = readUntil(() => performance.now() > answeredAt + WATCH_MS);
  await sleep(randomInt(200, 1_500));
  cloud.end(session);
  const call = () => askInternal(fleet.broker(randomInt(3)), `DELETE /accounts/${unionId}/terminals`);
  await eventually(async () => (await call()).status === 204);
  answeredAt = performance.now();
  const inFlight = running.size;
  await sleep(ENDED_MS);
  // A read that had begun may log in once more, if its session looks newer.
  await Promise.all(running);
  const loginsBefore = logins();
  await reading;
  await Promise.all(running);

  const late = reads.filter(({ sentAt }) => sentAt > answeredAt + ENDED_MS);
  const account = await askInternal(fleet.broker(0), `GET /accounts/${unionId}`);
  const stored = cloud.isAhead ? [] : JSON.parse(account.body).terminals;
  const lateLogins = logins() - loginsBefore;
  const again = await cloud.issue(fleet, unionId);
  const isBack = await Promise.all(fleet.brokers.map((broker) => broker.getToken(again, 'phone-1')));
  const served = reads.filter(({ status }) => status === 200);
  const lateTokens = late.filter(({ status }) => status === 200).length;
  return {
    outcome: { status: account.status, stored, lateTokens, lateLogins, again: isBack.map(({ status }) => status) },
    reads: reads.length,
    served: served.length,
    late: late.length,
    inFlight,
    lastTokenMs: Math.max(...served.map(({ endedAt }) => endedAt)) - answeredAt,
  };
}

test.each([
  ['jwt', jwt],
  ['forward', forward],
  ['forward with a clock 3 s ahead', () => forward(3)],
] as const)(
  'in mode %s, no ended session gets a token 1 s after the logout of the account, and no login is stored',
  { timeout: 120_000 + KICK_OUTS * 10_000 },
  async (mode, start) => {
    const cloud = await start();
    const vendor = { mode: 'replace', latencyMs: LATENCY_MS } as const;
    const fleet = await startFleet({ replicas: 3, vendor, env: { ADMIN_TOKEN, ...cloud.env } });
    const numbers = Array.from({ length: KICK_OUTS }).keys();
    const results: Awaited<ReturnType<typeof kickOut>>[] = [];
    const user = async () => {
      for (const number of numbers) results.push(await kickOut(fleet, cloud, `user-${number}`));
    };
    await Promise.all(Array.from({ length: USERS }, user));
    const sum = (of: 'reads' | 'served' | 'late' | 'inFlight') =>
      results.reduce((total, result) => total + result[of], 0);
    process.stderr.write(
      `${mode}: ${results.length} kick-outs, ${sum('reads')} reads, ${sum('served')} with a token, ` +
        `${sum('inFlight')} in flight at an answer, ${sum('late')} more than 1 s after one; ` +
        `the last token ${Math.max(...results.map(({ lastTokenMs }) => lastTokenMs)).toFixed(0)} ms after an answer\n`,
    );
    const outcome = { status: 200, stored: [], lateTokens: 0, lateLogins: 0, again: [200, 200, 200] };
    expect(results.map((result) => result.outcome)).toEqual(results.map(() => outcome));
    expect(sum('late')).toBeGreaterThan(10 * KICK_OUTS);
  },
);
