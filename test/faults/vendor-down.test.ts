import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Fault } from '../../src/simulator/vendor-settings.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { failedReads, repeatedly, reportFault, timedRead } from './fault-report.ts';

const OUTAGES: readonly Fault[] = ['http-500', 'reset', 'hang', 'html', 'cut-off', 'endless', 'too-frequent'];
const LOAD_MS = 15_000;

/** Peak resident memory of the process in MB. 0 if the system does not report it. */
function peakMemoryOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

describe('a vendor outage', () => {
  test.each(OUTAGES)(
    'of kind %s: the broker serves known tokens, reports an error to new terminals, sends few logins, and recovers',
    async (fault) => {
      const fleet = await startFleet({ replicas: 3, env: { VENDOR_MAX_RPS: '10' } });
      const knownSession = await fleet.session('known');
      for (const broker of fleet.brokers) await broker.getToken(knownSession, 'phone');
      const newSessions = await Promise.all(Array.from({ length: 5 }, (_, number) => fleet.session(`new-${number}`)));
      fleet.vendor.configure({ fault });
      const before = fleet.vendor.state().requests;

      const [newReads, known] = await Promise.all([
        repeatedly(LOAD_MS, 50, (round) =>
          Promise.all(newSessions.map((session) => timedRead(fleet, fleet.broker(round), session))),
        ),
        repeatedly(LOAD_MS, 100, (round) => timedRead(fleet, fleet.broker(round), knownSession)),
      ]);
      const refused = newReads.flat();
      const attempts = fleet.vendor.state().requests - before;
      expect(failedReads(known)).toEqual([]);
      expect(refused.filter(({ status }) => ![503, 504].includes(status))).toEqual([]);
      const slowest = Math.max(...refused.map(({ tookMs }) => tookMs));
      expect(slowest).toBeLessThan(12_000);
      expect(attempts).toBeLessThan(refused.length / 5);
      const peak = Math.max(...fleet.brokers.map(({ pid }) => peakMemoryOf(pid)));
      expect(peak).toBeLessThan(400);

      fleet.vendor.configure({ fault: 'none' });
      const recoveredAt = performance.now();
      await eventually(
        async () => {
          const answers = await Promise.all(newSessions.map((session) => timedRead(fleet, fleet.broker(0), session)));
          expect(answers.every(({ status, live }) => status === 200 && live)).toBe(true);
        },
        { timeoutMs: 35_000, everyMs: 200 },
      );
      reportFault({
        promise:
          '1,500 reads of new terminals, 3 replicas: known tokens are served; ' +
          'slowest error (≤ 12 s); attempts (< 300); recovery (≤ 35 s)',
        fault: `vendor: ${fault}`,
        measured: `${(slowest / 1_000).toFixed(1)} s; ${attempts}; ${((performance.now() - recoveredAt) / 1_000).toFixed(1)} s`,
      });
    },
    90_000,
  );
});
