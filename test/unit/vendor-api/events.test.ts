import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { hastyClock, issuerAt, REQUEST, refusalOf, SKEWED } from './running-issuer.ts';
import { type Answering, json, SUCCESS, scriptedVendor } from './scripted-vendor.ts';

const maintenance = json({ code: 10901060, msg: '', requestId: '' });
const success = json(SUCCESS);

function inTurn(...answers: Answering[]): Answering {
  return (response, seen, index) => (answers[index] ?? success)(response, seen, index);
}

async function observed(answering: Answering, options: Parameters<typeof issuerAt>[1] = {}) {
  const vendor = await scriptedVendor(answering);
  const { observer, told } = recordingObserver();
  const { issuer } = issuerAt(vendor.url, { observer, ...options });
  return { vendor, issuer, told };
}

describe('a login tells what it came to', () => {
  it.each([
    ['a success', success, 'success', 0, 1],
    ['a no', json({ code: 10902013, msg: '' }), 'account_closed', 10902013, 1],
    ['a code nobody knows, tried again', json({ code: 77, msg: '' }), 'unknown', 77, 3],
    ['no answer of its own', json('<html>', 502), 'outage', undefined, 3],
    ['a success after a failure', inTurn(maintenance), 'success', 0, 2],
  ])('once: %s', async (_, answering, outcome, code, attempts) => {
    const { vendor, issuer, told } = await observed(answering);
    await issuer.login(REQUEST).catch(() => undefined);
    expect(told('loginEnded')).toEqual([[outcome, code, expect.any(Number)]]);
    expect(told('loginSent')).toHaveLength(attempts);
    expect(vendor.seen).toHaveLength(attempts);
  });

  it('and how long that took, in ms', async () => {
    const { issuer, told } = await observed((response) => {
      setTimeout(() => response.end(JSON.stringify(SUCCESS)), 120);
    });
    const startedAt = performance.now();
    await issuer.login(REQUEST);
    const tookMs = performance.now() - startedAt;
    expect(told('loginEnded')[0]?.[2]).toBeGreaterThanOrEqual(110);
    expect(told('loginEnded')[0]?.[2]).toBeLessThanOrEqual(tookMs + 2);
  });

  it('also where it got no turn, and was never sent', async () => {
    const queue = { reserve: async () => ({ granted: false, waitMs: 1_000 }) };
    const { issuer, told } = await observed(success, { maxPerSecond: 10, queue });
    await refusalOf(issuer.login({ ...REQUEST, urgency: 'background' }));
    expect(told('loginEnded')).toEqual([['busy', undefined, expect.any(Number)]]);
    expect(told('budgetDenied')).toEqual([['background']]);
    expect(told('loginSent')).toEqual([]);
  });

  it('and how long it waited for its turn', async () => {
    const waits = [0, 30];
    const queue = { reserve: async () => ({ granted: true, waitMs: waits.shift() ?? 0 }) };
    const { issuer, told } = await observed(inTurn(maintenance), { maxPerSecond: 10, queue });
    await issuer.login(REQUEST);
    expect(told('budgetWaited')).toEqual([
      ['foreground', 0],
      ['foreground', 30],
    ]);
    expect(told('budgetDenied')).toEqual([]);
  });
});

describe('a vendor domain', () => {
  it('is known from the start, and its circuit’s changes are told; a spared vendor is sent nothing', async () => {
    const { vendor, issuer, told } = await observed(maintenance);
    const { host } = vendor.url;
    expect(told('circuitChanged')).toEqual([[host, 'closed']]);
    for (let login = 0; login < 6; login += 1) await refusalOf(issuer.login(REQUEST));
    expect(told('circuitChanged')).toEqual([
      [host, 'closed'],
      [host, 'open'],
    ]);
    expect(told('loginEnded').at(-1)).toEqual(['circuit_open', undefined, expect.any(Number)]);
    expect(told('loginSent')).toHaveLength(vendor.seen.length);
  });

  it('tells how far its clock is ahead', async () => {
    const clock = { ...hastyClock, now: () => systemClock.now() + 900_000 };
    const { vendor, issuer, told } = await observed(inTurn(json(SKEWED)), { clock });
    await issuer.login(REQUEST);
    const offsets = told('clockOffsetSeen');
    expect(offsets).toHaveLength(2);
    for (const [host, offsetMs] of offsets) {
      expect(host).toBe(vendor.url.host);
      expect(offsetMs).toBeGreaterThan(-902_000);
      expect(offsetMs).toBeLessThan(-898_000);
    }
  });
});
