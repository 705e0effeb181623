import fc from 'fast-check';
import { Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { TalliedHistogram } from '../../../src/telemetry/fast-counters.ts';

const OPTIONS = { name: 'seconds', help: 'How long.', buckets: [1, 5, 60, 2_592_000] };

test('a tallied histogram shows what the library’s own would, whatever it was told', async () => {
  const values = fc.array(fc.oneof(fc.constantFrom(0, 1, 5, 60, 2_592_000), fc.integer({ max: 3_000_000 })));
  await fc.assert(
    fc.asyncProperty(values, async (told) => {
      const [own, tallied] = [new Registry(), new Registry()];
      const histogram = new Histogram({ ...OPTIONS, registers: [own] });
      const tally = new TalliedHistogram({ ...OPTIONS, registry: tallied });
      for (const value of told) {
        histogram.observe(value);
        tally.add(value);
      }
      expect(await tallied.metrics()).toBe(await own.metrics());
    }),
  );
});
