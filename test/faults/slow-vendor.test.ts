import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { answeredWithin, repeatedly, reportFault, type TimedRead, timedRead } from './fault-report.ts';

const LATENCY_MS = 1_800;
const LIFETIME_SECONDS = 24;
const SUBJECTS = 24;
const FOR_MS = 60_000;
/** The first renewals run at this time: they start at 70 % of the lifetime. */
const FAULT_AT_MS = 18_000;
const FREEZE_MS = 8_000;
const MOST_LOGINS = FOR_MS / 12_000;

interface Fault {
  readonly name: string;
  /** Whether the load balancer sends reads to the second replica at this time (ms since the start). */
  readonly hasSecond: (atMs: number) => boolean;
  readonly inject: (fleet: Fleet) => Promise<void>;
}

const FAULTS: readonly Fault[] = [
  { name: 'nothing else', hasSecond: () => true, inject: async () => undefined },
  {
    name: 'one replica is killed amid renewals',
    hasSecond: (atMs) => atMs < FAULT_AT_MS,
    inject: async (fleet) => fleet.broker(1).signal('SIGKILL'),
  },
  {
    name: `one replica is frozen amid renewals for ${FREEZE_MS / 1_000} s`,
    hasSecond: (atMs) => atMs < FAULT_AT_MS || atMs > FAULT_AT_MS + FREEZE_MS,
    inject: async (fleet) => {
      fleet.broker(1).signal('SIGSTOP');
      await sleep(FREEZE_MS);
      fleet.broker(1).signal('SIGCONT');
    },
  },
];

/** A read behind a load balancer: it sends a read whose connection broke to the other replica. */
async function balancedRead(fleet: Fleet, number: number, session: string): Promise<TimedRead> {
  const read = await timedRead(fleet, fleet.broker(number), session);
  return read.status === 0 ? timedRead(fleet, fleet.broker(0), session) : read;
}

test.each(FAULTS)(
  'a vendor that takes 1.8 s, and $name: no read fails, and tokens cost no additional login',
  async ({ name, hasSecond, inject }) => {
    const fleet = await startFleet({
      replicas: 2,
      vendor: { tokenLifetimeSeconds: LIFETIME_SECONDS, latencyMs: LATENCY_MS, mode: 'replace' },
    });
    const accounts = Array.from({ length: SUBJECTS }, (_, number) => `account-${number}`);
    const sessions = await Promise.all(accounts.map((account) => fleet.session(account)));
    const reading = repeatedly(FOR_MS, 200, (round) =>
      Promise.all(
        sessions.map((session, index) => balancedRead(fleet, hasSecond(round * 200) ? round + index : 0, session)),
      ),
    );
    await sleep(FAULT_AT_MS);
    await inject(fleet);
    const reads = (await reading).flat();
    const logins = accounts.map((account) => fleet.vendor.loginsOf(account, 'phone'));
    const failed = reads.filter(({ status }) => status !== 200);
    const p99 = answeredWithin(reads, 0.99);
    reportFault({
      promise:
        `The vendor takes ${LATENCY_MS / 1_000} s; ${SUBJECTS} subjects with tokens of ${LIFETIME_SECONDS} s, 2 replicas: ` +
        `no failed read in ${FOR_MS / 1_000} s; p99; logins per subject (≤ ${MOST_LOGINS})`,
      fault: name,
      measured: `${p99.toFixed(0)} ms; ${Math.max(...logins)}`,
    });
    expect(failed).toEqual([]);
    expect(Math.max(...logins)).toBeLessThanOrEqual(MOST_LOGINS);
  },
  120_000,
);
