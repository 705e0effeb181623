import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../../src/token/errors.ts';
import { PHONE_ID as ID, virtualReplica } from '../../support/broker-parts.ts';
import { claimLeases } from '../../support/due-claims.ts';

const WAIT_MS = 730;

/** A replica with a token, whose logins find no place in the queue for the next 730 ms. */
async function createReplica() {
  const parts = virtualReplica();
  await parts.answerAfter(0);
  parts.vendor.failure = new BrokerError('vendor_busy', { retryAfter: 1, waitMs: WAIT_MS });
  return parts;
}

describe('a background renewal that found no place in the login queue', () => {
  test('is due again as soon as the queue says', async () => {
    const { renewInBackground, store, pass } = await createReplica();
    const ended = renewInBackground(ID).catch(({ code }: BrokerError) => code);
    await pass(0);
    expect(await ended).toBe('vendor_busy');
    expect((await claimLeases(store, 10, 1_000)).nextInMs).toBe(WAIT_MS);
  });

  test('is repeated by the worker as soon as the queue says', async () => {
    const { worker, vendor, clock, pass } = await createReplica();
    const [logIn, sentAt] = [vendor.login.bind(vendor), [] as number[]];
    vendor.login = (request) => {
      sentAt.push(clock.monotonic());
      vendor.failure = sentAt.length === 1 ? new BrokerError('vendor_busy', { retryAfter: 1, waitMs: 100 }) : undefined;
      return logIn(request);
    };
    worker.start();
    // The token lives 60 s, and is due after 54 s at the latest.
    await pass(60_000);
    const stopping = worker.stop();
    await pass(1_000);
    await stopping;
    const [failedAt = 0, repeatedAt = 0] = sentAt;
    expect(repeatedAt - failedAt).toBeGreaterThanOrEqual(100);
    expect(repeatedAt - failedAt).toBeLessThan(150);
  });
});
