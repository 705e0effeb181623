import { describe, expect, it } from 'vitest';
import { outcomeGroups, REFUSED_LOGINS, SERVER_ERRORS } from '../../../console/outcome-groups.ts';
import { ERRORS } from '../../../src/token/errors.ts';
import { OF_ONE_ACCOUNT } from '../../../src/token/observer.ts';

const NONE = { from: '2026-11-26T13:10:00.000Z', reads: {}, renewals: {}, logins: {}, sessions: {} };
const series = (count: number) => Array.from({ length: 61 }, () => count);

function totals(chart: 'reads' | 'renewals' | 'logins' | 'sessions', outcomes: readonly string[]) {
  const lastHour = { ...NONE, [chart]: Object.fromEntries(outcomes.map((outcome) => [outcome, series(1)])) };
  return Object.fromEntries(outcomeGroups(lastHour, chart).map(({ name, counts }) => [name, counts[0]]));
}

describe('the groups of a chart', () => {
  it('separate what apps got, what they did wrong, and what failed', () => {
    const reads = [
      'memory',
      'redis',
      'login',
      'waited',
      'fallback',
      'terminal_limit',
      'rate_limited',
      'vendor_timeout',
    ];
    expect(totals('reads', reads)).toEqual({ served: 4, fallback: 1, refused: 2, failed: 1 });
    expect(totals('renewals', ['login', 'waited', 'account_disabled', 'internal', 'vendor_busy'])).toEqual({
      renewed: 2,
      paced: 1,
      refused: 1,
      failed: 1,
    });
    expect(totals('logins', ['success', 'account_closed', 'request', 'configuration', 'timeout', 'busy'])).toEqual({
      loggedIn: 1,
      paced: 1,
      refused: 2,
      failed: 2,
    });
    expect(totals('sessions', ['cached', 'accepted', 'kept', 'session_invalid', 'session_check_unavailable'])).toEqual({
      accepted: 3,
      refused: 1,
      unchecked: 1,
    });
  });

  it('exist without an event', () =>
    expect(totals('reads', [])).toEqual({ served: 0, fallback: 0, refused: 0, failed: 0 }));
});

it('the errors of the server are those with a status of 500 or more', () => {
  const expected = Object.entries(ERRORS).flatMap(([code, { status }]) => (status >= 500 ? [code] : []));
  expect(SERVER_ERRORS).toEqual(new Set(expected));
});

it('the refused logins are those of one account', () => {
  expect(REFUSED_LOGINS).toEqual(new Set(OF_ONE_ACCOUNT));
});
