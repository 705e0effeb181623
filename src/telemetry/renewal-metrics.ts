import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { ERRORS, type ErrorCode } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import { coolsDown } from '../token/renewal-timing.ts';
import { errorCodeOf, Tally } from './fast-counters.ts';

const LATENESS = [1, 2, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400];

type RenewalEvents =
  | 'renewalEnded'
  | 'renewalFailed'
  | 'backgroundRenewalRead'
  | 'coolingDown'
  | 'wroteBack'
  | 'renewalClaimed'
  | 'backlogSeen';

/** How tokens come to be, and whether the due queue keeps up. */
export function renewalMetrics(registry: Registry): Pick<Observer, RenewalEvents> {
  const registers = [registry];
  const renewals = new Counter({
    registers,
    name: 'sdk_token_broker_renewals_total',
    help: 'Renewals, by why they were made and what they came to. Callers who share one count once.',
    labelNames: ['cause', 'outcome'],
  });
  const read = new Counter({
    registers,
    name: 'sdk_token_broker_unasked_renewals_read_total',
    help: 'Tokens renewed in the background that an app has read since.',
  });
  const coolDowns = new Tally<ErrorCode>({
    registry,
    name: 'sdk_token_broker_cool_downs_total',
    help: 'Renewals refused without a login, as several for the subject had just failed with this error.',
    label: 'code',
    values: (Object.keys(ERRORS) as ErrorCode[]).filter(coolsDown),
  });
  const writeBacks = new Tally({
    registry,
    name: 'sdk_token_broker_write_backs_total',
    help: 'Tokens brought into the store after it was away, by whether something as new stood there.',
    label: 'outcome',
    values: ['saved', 'outdated'] as const,
  });
  const backlog = new Gauge({
    registers,
    name: 'sdk_token_broker_due_backlog',
    help: 'Subjects of all replicas that are due and unclaimed, as this replica saw it at its last claim.',
  });
  const lateness = new Histogram({
    registers,
    name: 'sdk_token_broker_due_lateness_seconds',
    help: 'For how long tokens had been due when their renewal in the background was claimed, repetitions included.',
    buckets: LATENESS,
  });
  return {
    renewalEnded: (cause, outcome) => renewals.inc({ cause, outcome }),
    renewalFailed: (cause, error) => renewals.inc({ cause, outcome: errorCodeOf(error) }),
    backgroundRenewalRead: () => read.inc(),
    coolingDown: (code) => coolDowns.add(code),
    wroteBack: (outcome) => writeBacks.add(outcome),
    backlogSeen: (subjects) => backlog.set(subjects),
    renewalClaimed: (latenessMs) => lateness.observe(latenessMs / 1_000),
  };
}
