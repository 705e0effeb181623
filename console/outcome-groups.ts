import type { StatusReport } from '../src/http/routes/status.ts';
import type { ErrorCode } from '../src/token/errors.ts';
import type { LoginOutcome } from '../src/token/observer.ts';

type LastHour = StatusReport['lastHour'];
export type ChartName = 'reads' | 'renewals' | 'logins' | 'sessions';

/** How good an outcome is: it decides the colour. `refused`: the caller's request was wrong. */
type Tone = 'good' | 'aged' | 'refused' | 'bad';

export interface OutcomeGroup {
  /** A key of the texts. */
  readonly name:
    | 'served'
    | 'fallback'
    | 'refused'
    | 'failed'
    | 'renewed'
    | 'accepted'
    | 'unchecked'
    | 'loggedIn'
    | 'paced';
  readonly tone: Tone;
  /** Counts per minute, the oldest first. */
  readonly counts: readonly number[];
}

/** A background renewal that found no place in the login budget. It is tried again: this is no failure. */
export const OWN_PACE: ErrorCode = 'vendor_busy';

/** The errors that are not the caller's: their status is 500 or more. */
export const SERVER_ERRORS: ReadonlySet<string> = new Set<ErrorCode>([
  'internal',
  'vendor_rejected',
  'vendor_unavailable',
  'vendor_busy',
  'session_check_unavailable',
  'store_unavailable',
  'shutting_down',
  'vendor_timeout',
]);

/** The vendor refused the login of one account. Everything else that is no success concerns all accounts. */
export const REFUSED_LOGINS: ReadonlySet<string> = new Set<LoginOutcome>(['request', 'account_closed']);

const GROUPS: Readonly<Record<ChartName, readonly (readonly [OutcomeGroup['name'], Tone])[]>> = {
  reads: [
    ['served', 'good'],
    ['fallback', 'aged'],
    ['refused', 'refused'],
    ['failed', 'bad'],
  ],
  renewals: [
    ['renewed', 'good'],
    ['paced', 'aged'],
    ['refused', 'refused'],
    ['failed', 'bad'],
  ],
  logins: [
    ['loggedIn', 'good'],
    ['paced', 'aged'],
    ['refused', 'refused'],
    ['failed', 'bad'],
  ],
  sessions: [
    ['accepted', 'good'],
    ['refused', 'refused'],
    ['unchecked', 'bad'],
  ],
};

const GROUP_OF: Readonly<Record<ChartName, (outcome: string) => OutcomeGroup['name']>> = {
  reads: (outcome) => {
    if (outcome === 'fallback') return 'fallback';
    if (['memory', 'redis', 'login', 'waited'].includes(outcome)) return 'served';
    return SERVER_ERRORS.has(outcome) ? 'failed' : 'refused';
  },
  renewals: (outcome) => {
    if (outcome === 'login' || outcome === 'waited') return 'renewed';
    if (outcome === OWN_PACE) return 'paced';
    return SERVER_ERRORS.has(outcome) ? 'failed' : 'refused';
  },
  logins: (outcome) => {
    if (outcome === 'success') return 'loggedIn';
    if (outcome === 'busy') return 'paced';
    return REFUSED_LOGINS.has(outcome) ? 'refused' : 'failed';
  },
  sessions: (outcome) => {
    if (['cached', 'accepted', 'kept'].includes(outcome)) return 'accepted';
    return SERVER_ERRORS.has(outcome) ? 'unchecked' : 'refused';
  },
};

/** The outcomes of the last hour in the groups of a chart: all groups, also those without an event. */
export function outcomeGroups(lastHour: LastHour, chart: ChartName): readonly OutcomeGroup[] {
  const series = Object.entries<readonly number[] | undefined>(lastHour[chart]);
  return GROUPS[chart].map(([name, tone]) => {
    const members = series.flatMap(([outcome, counts]) =>
      GROUP_OF[chart](outcome) === name && counts ? [counts] : [],
    );
    const counts = Array.from({ length: 61 }, (_, minute) =>
      members.reduce((sum, counts) => sum + (counts[minute] ?? 0), 0),
    );
    return { name, tone, counts };
  });
}
