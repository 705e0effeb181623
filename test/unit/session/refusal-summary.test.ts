import { describe, expect, test } from 'vitest';
import { RefusalSummary } from '../../../src/session/session-cache.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { captureLog } from '../../support/captured-log.ts';
import { TestClock } from './sessions.ts';

const WRONG_KEY = new BrokerError('session_invalid', { detail: 'The session is signed with an unknown key' });
const EXPIRED = new BrokerError('session_expired');
const KEY_REASON = 'session_invalid: The session is signed with an unknown key';

function createSummary() {
  const clock = new TestClock();
  const { logger, lines } = captureLog('info');
  const summary = new RefusalSummary(clock, logger);
  const refuse = (times: number, error = WRONG_KEY) => {
    for (let time = 0; time < times; time += 1) summary.refused(error);
  };
  return { clock, lines, summary, refuse };
}

describe('the summary of refused sessions', () => {
  test('warns at once when ten were refused and none was accepted, with the reasons', () => {
    const { lines, refuse } = createSummary();
    refuse(2, EXPIRED);
    refuse(7);
    expect(lines()).toEqual([]);
    refuse(12);
    expect(lines()).toMatchObject([{ level: 'warn', refused: 10, accepted: 0, reasons: { [KEY_REASON]: 8 } }]);
    expect(Object.keys(lines()[0]?.['reasons'] ?? {})[0]).toBe(KEY_REASON);
  });

  test('is no warning while more sessions are accepted', () => {
    const { lines, summary, refuse } = createSummary();
    refuse(1);
    summary.accepted += 50;
    refuse(9);
    expect(lines()).toMatchObject([{ level: 'info', refused: 10, accepted: 50 }]);
  });

  test('has at most one line per minute, and the next one has the whole minute', () => {
    const { clock, lines, refuse } = createSummary();
    refuse(500);
    clock.time += 59_000;
    refuse(500);
    expect(lines()).toHaveLength(1);
    clock.time += 1_000;
    refuse(1);
    expect(lines().slice(1)).toMatchObject([{ refused: 1_000, reasons: { [KEY_REASON]: 1_000 } }]);
    refuse(8);
    expect(lines()).toHaveLength(2);
  });

  test('counts the same minute although the clock is set meanwhile', () => {
    const { clock, lines, refuse } = createSummary();
    refuse(500);
    for (const ms of [-3_600_000, 7_200_000]) {
      clock.jump(ms);
      refuse(10);
    }
    expect(lines()).toHaveLength(1);
    clock.time += 60_000;
    refuse(1);
    expect(lines().slice(1)).toMatchObject([{ refused: 520 }]);
  });

  test('has no line for a few refused sessions per minute', () => {
    const { clock, lines, refuse } = createSummary();
    for (let minute = 0; minute < 100; minute += 1) {
      refuse(9, EXPIRED);
      clock.time += 60_000;
    }
    expect(lines()).toEqual([]);
  });
});
