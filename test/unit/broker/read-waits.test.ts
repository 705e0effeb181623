import { describe, expect, test } from 'vitest';
import { recordOf } from '../../../src/broker/cached-tokens.ts';
import type { Renewal } from '../../../src/broker/renewal.ts';
import type { RenewalRequest } from '../../../src/broker/requests.ts';
import { createTokenBroker } from '../../../src/broker/token-broker.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { AnnouncementFeed } from '../../../src/token/ports.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountOf } from '../../../src/token/subject.ts';
import { follow, PHONE_ID as ID, PHONE, PROACTIVE, tokenOrCode, virtualReplica } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { accessTokenOf } from '../../support/served-token.ts';

/** A token is due after half of its life. */
const POLICY = { ...PROACTIVE, share: { from: 0.5, to: 0.5 } };

/**
 * A replica with a token of `lifeMs`: due after 50 % of it, waited for after 90 %, and served until 95 %.
 * @param hearsChanges without it, the replica receives no announcements
 */
async function partsWithToken(lifeMs = 60_000, hearsChanges = true) {
  const announcements: AnnouncementFeed = { subscribe: () => undefined, completeSince: () => 0 };
  const parts = virtualReplica({ policy: POLICY, ...(!hearsChanges && { parts: { announcements } }) });
  const { pass } = parts;
  parts.vendor.lifeMs = lifeMs;
  const read = (refused?: string) => parts.read({ refused });
  const first = read();
  await pass(0);
  await first;
  const known = parts.cache.tokens.find(ID);
  if (!known) throw new Error('there is no token in memory');
  const record = recordOf(known);
  return { ...parts, read, record };
}

/** The token of a read, its error code, or `waits`. */
function answerOf(reading: Promise<ServedToken>): () => unknown {
  const state = follow(tokenOrCode(reading));
  return () => state.result;
}

describe('a read of a due token', () => {
  test('starts a renewal from the due time on, and not before', async () => {
    const { pass, vendor, watched, read } = await partsWithToken();
    await pass(29_999);
    expect(accessTokenOf(await read())).toBe('token-1');
    await pass(0);
    expect(vendor.requests).toHaveLength(1);
    await pass(1);
    expect(accessTokenOf(await read())).toBe('token-1');
    await pass(0);
    expect(vendor.requests).toHaveLength(2);
    expect(watched.calls('read')).toBe(1);
  });

  test.each([
    ['waits for none', 30_000],
    ['waits for it', 54_000],
  ])('starts no renewal for one second after a failed one: it %s', async (_, atMs) => {
    const { pass, vendor, read } = await partsWithToken();
    vendor.failure = new BrokerError('vendor_rejected');
    await pass(atMs);
    const logins: number[] = [];
    for (const ms of [0, 999, 1]) {
      await pass(ms);
      const answer = answerOf(read());
      await pass(0);
      expect(answer()).toBe('token-1');
      logins.push(vendor.requests.length);
    }
    expect(logins).toEqual([2, 2, 3]);
  });
});

describe('a read of a token near its end', () => {
  test('waits for its renewal for at most two seconds, then gets the old token', async () => {
    const { pass, vendor, told, read } = await partsWithToken(6_000_000);
    await pass(5_940_000);
    vendor.latencyMs = 60_000;
    const answer = answerOf(read());
    await pass(1_999);
    expect(answer()).toBe('waits');
    await pass(1);
    expect(answer()).toBe('token-1');
    expect(told('tokenServed').at(-1)?.[0]).toBe('fallback');
  });

  test('gets the old token after that wait, although memory has dropped it meanwhile', async () => {
    const { pass, vendor, cache, read } = await partsWithToken(6_000_000);
    await pass(5_940_000);
    vendor.latencyMs = 60_000;
    const answer = answerOf(read());
    await pass(500);
    cache.tokens.remove(ID);
    await pass(1_500);
    expect(answer()).toBe('token-1');
  });

  test('waits on for the new one if it hears meanwhile that the old one was logged out', async () => {
    const { pass, vendor, cache, record, read } = await partsWithToken(6_000_000);
    await pass(5_940_000);
    vendor.latencyMs = 3_000;
    const answer = answerOf(read());
    await pass(500);
    cache.loggedOut(ID, record.generation);
    await pass(2_499);
    expect(answer()).toBe('waits');
    await pass(1);
    expect(answer()).toBe('token-2');
  });

  test.each([
    [2_000, 1_900],
    [500, 400],
    [100, 0],
    [50, 0],
  ])('gets the old token before that may no longer be served: of %i ms, it waits for %i ms', async (leftMs, waitMs) => {
    const { pass, vendor, read } = await partsWithToken();
    await pass(57_000 - leftMs);
    vendor.latencyMs = 3_000;
    const answer = answerOf(read());
    if (waitMs > 0) await pass(waitMs - 1);
    expect(answer()).toBe('waits');
    await pass(1);
    expect(answer()).toBe('token-1');
  });

  test('gets the error of the renewal if the old token may no longer be served by a clock that was set forward', async () => {
    const { pass, jump, vendor, read } = await partsWithToken();
    await pass(56_500);
    vendor.latencyMs = 1_000;
    vendor.failure = new BrokerError('vendor_rejected');
    const answer = answerOf(read());
    jump(500);
    await pass(999);
    expect(answer()).toBe('waits');
    await pass(1);
    expect(answer()).toBe('vendor_rejected');
  });

  test('is not answered from memory at the margin of the token, although a renewal has just failed', async () => {
    const { pass, vendor, answerAfter } = await partsWithToken();
    vendor.failure = new BrokerError('vendor_rejected');
    await pass(56_500);
    expect(await answerAfter(0)).toBe('token-1');
    await pass(500);
    expect(await answerAfter(0)).toBe('vendor_rejected');
  });

  test('is not answered from memory at the margin of a token with a short life, although a read has just started its renewal', async () => {
    const { pass, vendor, read, answerAfter } = await partsWithToken(4_000);
    vendor.failure = new BrokerError('vendor_rejected');
    await pass(3_599);
    expect(accessTokenOf(await read())).toBe('token-1');
    await pass(201);
    expect(await answerAfter(0)).toBe('vendor_rejected');
  });

  test('counts as a read without a token from the margin on', async () => {
    const { pass, told, read } = await partsWithToken();
    await pass(56_999);
    const answers = [answerOf(read())];
    await pass(0);
    await pass(57_000);
    answers.push(answerOf(read()));
    await pass(0);
    expect(answers.map((answer) => answer())).toEqual(['token-2', 'token-3']);
    expect(told('renewalEnded')).toEqual([
      ['new', 'login'],
      ['due', 'login'],
      ['new', 'login'],
    ]);
  });
});

describe('a token that ends before its expiry while it is renewed', () => {
  type End = readonly [why: string, code: string, end: (parts: Awaited<ReturnType<typeof partsWithToken>>) => unknown];
  const ENDS: readonly End[] = [
    ['an erasure', 'session_invalid', ({ store }) => store.accounts.erase(PHONE.unionId)],
    ['a logout', 'session_forbidden', ({ store }) => store.terminals.remove(ID)],
    ['a closed account', 'account_disabled', () => undefined],
  ];
  /** A read at `readAt` ms, and after half a second the end of the token. */
  async function readAndEnd(readAt: number, [, code, end]: End) {
    const parts = await partsWithToken(6_000_000, false);
    const { pass, vendor, read } = parts;
    await pass(readAt);
    vendor.latencyMs = 1_000;
    if (code === 'account_disabled') vendor.failure = new BrokerError('account_disabled');
    const answer = answerOf(read());
    await pass(500);
    await end(parts);
    await pass(500);
    return { ...parts, answer };
  }

  test.each(ENDS)('is not given to a read that waits, and memory forgets it: %s', async (...end) => {
    const { answer, cache } = await readAndEnd(5_940_000, end);
    expect(answer()).toBe(end[1]);
    expect(cache.tokens.find(ID)).toBeUndefined();
  });

  test.each(ENDS)('is forgotten, although no read has waited for its renewal: %s', async (...end) => {
    const { answer, cache } = await readAndEnd(3_000_000, end);
    expect(answer()).toBe('token-1');
    expect(cache.tokens.find(ID)).toBeUndefined();
  });
});

describe('a read while the store fails', () => {
  test('gets the token from memory, and the log has the error', async () => {
    const { pass, watched, told, read, lines } = await partsWithToken(600_000);
    await pass(61_000);
    watched.down.add('read');
    expect(accessTokenOf(await read())).toBe('token-1');
    expect(told('tokenServed').at(-1)?.[0]).toBe('memory');
    const error = { code: 'store_unavailable' };
    expect(lines()).toMatchObject([{ msg: 'the store could not be asked for a token', subject: ID, err: error }]);
    watched.down.clear();
    await read();
    expect(watched.calls('read')).toBe(3);
  });
});

describe('the first read of a token from a background renewal', () => {
  test('gets the token, and the log has the error, if the store fails to note the read', async () => {
    const { pass, watched, renewInBackground, read, lines } = await partsWithToken();
    const renewing = renewInBackground(ID);
    await pass(0);
    await renewing;
    watched.down.add('markRead');
    expect(accessTokenOf(await read())).toBe('token-2');
    await pass(0);
    const error = { code: 'store_unavailable' };
    expect(lines()).toMatchObject([{ msg: 'the read of a token could not be stored', subject: ID, err: error }]);
  });
});

describe('a read after the store has lost its data', () => {
  test.each([
    ['renews a token that another login may have ended, and serves it if that fails', 'suspect', 'token-1', 'saved'],
    ['forgets a token that a logout has ended', 'outdated', 'vendor_rejected', 'outdated'],
  ] as const)('%s', async (_, outcome, expected, event) => {
    const { pass, store, vendor, told, answerAfter } = await partsWithToken(36_000_000, false);
    await pass(1_200_000);
    const { terminals } = store;
    if (outcome === 'outdated') await terminals.remove(ID);
    terminals.read = async () => ({ record: undefined, erasedAt: undefined });
    terminals.restore = async () => outcome;
    vendor.failure = new BrokerError('vendor_rejected');
    expect(await answerAfter(0)).toBe(expected);
    expect(vendor.requests).toHaveLength(2);
    expect(told('wroteBack')).toEqual([[event]]);
  });

  test('finds no token, but hears no failure of the store, if the store has lost an erasure too', async () => {
    const { pass, store, cache, clock, lines, answerAfter } = await partsWithToken();
    cache.erased(accountOf(ID), clock.now());
    await pass(1);
    store.terminals.read = async () => ({ record: undefined, erasedAt: undefined });
    expect(await answerAfter(0)).toBe('token-2');
    expect(lines().filter(({ level }) => level !== 'info')).toEqual([]);
  });

  test('restores no token past its margin', async () => {
    const { pass, store, answerAfter } = await partsWithToken(120_000);
    await pass(114_000);
    let restored = 0;
    store.terminals.read = async () => ({ record: undefined, erasedAt: undefined });
    store.terminals.restore = async () => {
      restored += 1;
      return 'saved';
    };
    expect(await answerAfter(0)).toBe('token-2');
    expect(restored).toBe(0);
  });
});

describe('the record that a read accepts instead of a login', () => {
  /** A broker whose renewals never end, and the requests that it makes. */
  async function partsWithRequests() {
    const parts = await partsWithToken();
    const { clock, cache, store, record: known } = parts;
    const requests: RenewalRequest[] = [];
    const renewal = {
      renew: (request: RenewalRequest) => {
        requests.push(request);
        return new Promise(() => undefined);
      },
    } as unknown as Renewal;
    const { observer } = recordingObserver();
    const { logger: log } = captureLog('debug');
    const { terminals, announcements } = store;
    const { writeBack } = parts;
    const ports = { terminals, announcements, cache, renewal, writeBack, clock, log, observer };
    const broker = createTokenBroker({ ...ports, policy: POLICY, defaultRegion: 'DE' });
    const requestOf = async (refused?: string, region?: string): Promise<RenewalRequest> => {
      void broker.read({ subject: PHONE, region, sessionIssuedAt: undefined, refused });
      await parts.pass(0);
      const request = requests.at(-1);
      if (!request) throw new Error('no renewal was requested');
      return request;
    };
    const recordOf = (generation: number): TokenRecord => {
      const token = { fields: { accessToken: 'other' }, issuedAt: clock.now(), expiresAt: clock.now() + 60_000 };
      return { ...known, token, generation };
    };
    return { ...parts, known, requestOf, recordOf };
  }

  test('is any that no read has to wait for, if there was no token', async () => {
    const { pass, requestOf, recordOf } = await partsWithRequests();
    await pass(57_000);
    const { satisfies, known, cause } = await requestOf();
    expect([cause, known]).toEqual(['new', undefined]);
    const record = recordOf(1);
    await pass(53_999);
    expect(satisfies(record)).toBe(true);
    await pass(1);
    expect(satisfies(record)).toBe(false);
  });

  test('is a newer one if the token is due', async () => {
    const { pass, known, requestOf, recordOf } = await partsWithRequests();
    await pass(30_000);
    const request = await requestOf();
    expect([request.cause, request.known]).toEqual(['due', known]);
    expect(request.satisfies(recordOf(known.generation))).toBe(false);
    expect(request.satisfies(recordOf(known.generation + 1))).toBe(true);
  });

  test('is a newer one that may still be served, and not the refused token, if the vendor refused the token', async () => {
    const { pass, known, requestOf, recordOf } = await partsWithRequests();
    const request = await requestOf(serveToken(known).etag);
    expect([request.cause, request.known]).toEqual(['refused', known]);
    expect(request.satisfies(recordOf(known.generation))).toBe(false);
    expect(request.satisfies({ ...known, generation: known.generation + 1 })).toBe(false);
    const record = recordOf(known.generation + 1);
    await pass(56_999);
    expect(request.satisfies(record)).toBe(true);
    await pass(1);
    expect(request.satisfies(record)).toBe(false);
  });

  test('comes from the default country if neither session nor app has one', async () => {
    const { pass, requestOf } = await partsWithRequests();
    await pass(57_000);
    expect((await requestOf()).region).toBe('DE');
    expect((await requestOf(undefined, 'CN')).region).toBe('CN');
  });
});
