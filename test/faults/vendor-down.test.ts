import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Fault } from '../../src/simulator/vendor-settings.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { repeatedly, report, sample } from './board.ts';

const WAYS: readonly Fault[] = ['http-500', 'reset', 'hang', 'html', 'cut-off', 'endless', 'too-frequent'];
const CROWD_MS = 15_000;

/** Most memory the process ever had, in MB; where the system does not tell, none. */
function peakMemoryOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

describe('a vendor that is down', () => {
  test.each(WAYS)(
    'by %s: known tokens are served, newcomers told, the vendor spared, and then all is well',
    async (fault) => {
      const fleet = await startFleet({ replicas: 3, env: { VENDOR_MAX_RPS: '10' } });
      onTestFinished(() => fleet.close());
      const known = await fleet.session('known');
      for (const broker of fleet.brokers) await broker.getToken(known, 'phone');
      const people = await Promise.all(Array.from({ length: 5 }, (_, number) => fleet.session(`person-${number}`)));
      fleet.vendor.configure({ fault });
      const before = fleet.vendor.state().requests;

      const [newcomers, regulars] = await Promise.all([
        repeatedly(CROWD_MS, 50, (round) =>
          Promise.all(people.map((session) => sample(fleet, fleet.broker(round), session))),
        ),
        repeatedly(CROWD_MS, 100, (round) => sample(fleet, fleet.broker(round), known)),
      ]);
      const asked = newcomers.flat();
      const attempts = fleet.vendor.state().requests - before;
      expect(regulars.filter(({ status, live }) => status !== 200 || !live)).toEqual([]);
      expect(asked.filter(({ status }) => ![503, 504].includes(status))).toEqual([]);
      const slowest = Math.max(...asked.map(({ tookMs }) => tookMs));
      expect(slowest).toBeLessThan(12_000);
      expect(attempts).toBeLessThan(asked.length / 5);
      const peak = Math.max(...fleet.brokers.map(({ pid }) => peakMemoryOf(pid)));
      expect(peak).toBeLessThan(400);

      fleet.vendor.configure({ fault: 'none' });
      const wellAt = performance.now();
      await eventually(
        async () => {
          const answers = await Promise.all(people.map((session) => sample(fleet, fleet.broker(0), session)));
          expect(answers.every(({ status, live }) => status === 200 && live)).toBe(true);
        },
        { timeoutMs: 35_000, everyMs: 200 },
      );
      report({
        fault: `vendor down: ${fault}, 5 people asking 20 times a second each for 15 s, 3 replicas`,
        promise: 'known tokens 100 %; newcomers a problem within 12 s; attempts < 1 in 5 questions; back within 35 s',
        measured:
          `${regulars.length} of ${regulars.length} known served; slowest problem ${(slowest / 1_000).toFixed(1)} s; ` +
          `${attempts} attempts for ${asked.length} questions; ` +
          `back after ${((performance.now() - wellAt) / 1_000).toFixed(1)} s; peak ${peak.toFixed(0)} MB`,
      });
    },
    90_000,
  );
});
