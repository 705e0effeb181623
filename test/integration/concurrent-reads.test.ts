import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Fleet, lateCommands, repeatedAttempts, startFleet } from '../support/fleet.ts';
import { accessTokenOf } from '../support/served-token.ts';

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ replicas: 3, vendor: { latencyMs: 300 } });
  return () => fleet.close();
});

/** Sends 300 reads of new accounts, or of new terminals of one account, to three replicas. Expects a login for each. */
async function readAtOnce(accounts: number, terminals = 1): Promise<void> {
  const names = Array.from({ length: accounts }, (_, number) => `account-${number}-of-${accounts}-with-${terminals}`);
  const sessions = await Promise.all(names.map(fleet.session));
  const late = async () => (await lateCommands(fleet)) + (await repeatedAttempts(fleet));
  const readAll = async (terminal: string) => {
    const [before, lateBefore] = [fleet.vendor.state(), await late()];
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, number) =>
        fleet
          .broker(Math.floor(number / 100))
          .getToken(sessions[number % accounts] ?? '', `${terminal}-${number % terminals}`),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(300);
    const { requests, succeeded, concurrent } = fleet.vendor.state();
    return {
      late: (await late()) - lateBefore,
      tokens: new Set(answers.map(accessTokenOf)).size,
      etags: new Set(answers.map(({ headers }) => headers.etag)).size,
      vendor: {
        requests: requests - before.requests,
        succeeded: succeeded - before.succeeded,
        concurrent: concurrent - before.concurrent,
      },
    };
  };
  // On a busy machine, a replica logs in without a lease if Redis is late, and repeats a request if the vendor is.
  let result = await readAll('phone-1');
  for (let attempt = 2; result.late > 0 && attempt <= 10; attempt += 1) result = await readAll(`phone-${attempt}`);
  const count = accounts * terminals;
  const logins = { requests: count, succeeded: count, concurrent: 0 };
  expect(result).toEqual({ late: 0, tokens: count, etags: count, vendor: logins });
}

describe('three replicas on one Redis', () => {
  test('log in once for 300 simultaneous reads of one new subject, and all reads get that token', () => readAtOnce(1));

  test('log in 100 times for 300 simultaneous reads of 100 subjects', () => readAtOnce(100));

  test('log in 20 times for 300 simultaneous reads of the 20 terminals of one account', () => readAtOnce(1, 20));

  test.each([
    ['frozen-app', 502, 10_901_051],
    ['account-closed', 403, 10_902_013],
  ] as const)('tell all that wait for one login why the vendor refused it: %s', async (fault, status, vendorCode) => {
    onTestFinished(() => fleet.vendor.configure({ fault: 'none' }));
    const session = await fleet.session(`account-of-${fault}`);
    fleet.vendor.configure({ fault });
    const [before, lateBefore] = [fleet.vendor.state().requests, await lateCommands(fleet)];
    const reads = Array.from({ length: 30 }, (_, number) => fleet.broker(number).getToken(session, 'phone'));
    const answers = await Promise.all(reads);
    const told = answers.map(({ status, headers, body }) => [
      status,
      JSON.parse(body).vendorCode,
      headers['retry-after'],
    ]);
    expect(told).toEqual(Array.from(reads, () => [status, vendorCode, undefined]));
    const isLate = (await lateCommands(fleet)) > lateBefore;
    if (!isLate) expect(fleet.vendor.state().requests - before).toBe(1);
  });

  test('finish a login for the other waiting reads if the first caller disconnects', async () => {
    const before = fleet.vendor.state().requests;
    const requests = () => fleet.vendor.state().requests - before;
    const session = await fleet.session('alice');
    const disconnect = new AbortController();
    const first = fetch(`${fleet.broker(0).url}/sdk-token?uniqueId=phone`, {
      headers: { authorization: `Bearer ${session}` },
      signal: disconnect.signal,
    }).catch((error: Error) => error.name);
    await expect.poll(requests).toBe(1);
    const second = fleet.broker(0).getToken(session, 'phone');
    disconnect.abort();
    expect(await first).toBe('AbortError');
    expect((await second).status).toBe(200);
    expect(requests()).toBe(1);
  });
});
