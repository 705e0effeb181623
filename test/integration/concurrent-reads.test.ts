import { describe, expect, onTestFinished, test } from 'vitest';
import { accessTokenOf, startFleet } from '../support/fleet.ts';

describe('three replicas on one Redis', () => {
  test('log in once for 300 simultaneous reads of one new subject, and all reads get that token', async () => {
    const fleet = await startFleet({ replicas: 3, vendor: { latencyMs: 300 } });
    onTestFinished(() => fleet.close());
    const session = await fleet.session('alice');
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, number) => fleet.broker(number).getToken(session, 'phone')),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(300);
    expect(new Set(answers.map(accessTokenOf)).size).toBe(1);
    expect(new Set(answers.map(({ headers }) => headers.etag)).size).toBe(1);
    expect(fleet.vendor.state()).toMatchObject({ requests: 1, succeeded: 1, concurrent: 0 });
  });

  test('log in 100 times for 300 simultaneous reads of 100 subjects', async () => {
    const fleet = await startFleet({ replicas: 3, vendor: { latencyMs: 300 } });
    onTestFinished(() => fleet.close());
    const sessions = await Promise.all(Array.from({ length: 100 }, (_, number) => fleet.session(`account-${number}`)));
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, number) =>
        fleet.broker(Math.floor(number / 100)).getToken(sessions[number % 100] ?? '', 'phone'),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(300);
    expect(new Set(answers.map(accessTokenOf)).size).toBe(100);
    expect(fleet.vendor.state()).toMatchObject({ requests: 100, succeeded: 100, concurrent: 0 });
  });

  test('finish a login for the other waiting reads if the first caller disconnects', async () => {
    const fleet = await startFleet({ replicas: 1, vendor: { latencyMs: 500 } });
    onTestFinished(() => fleet.close());
    const session = await fleet.session('alice');
    const disconnect = new AbortController();
    const first = fetch(`${fleet.broker(0).url}/sdk-token?uniqueId=phone`, {
      headers: { authorization: `Bearer ${session}` },
      signal: disconnect.signal,
    }).catch((error: Error) => error.name);
    await expect.poll(() => fleet.vendor.state().requests).toBe(1);
    const second = fleet.broker(0).getToken(session, 'phone');
    disconnect.abort();
    expect(await first).toBe('AbortError');
    expect((await second).status).toBe(200);
    expect(fleet.vendor.state().requests).toBe(1);
  });
});
