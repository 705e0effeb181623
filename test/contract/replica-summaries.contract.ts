import { describe, expect, test } from 'vitest';
import type { TokenStore } from '../../src/token/ports.ts';

/** @param open opens the store of one more replica of the same fleet */
export function replicaSummariesContract(name: string, open: () => Promise<TokenStore>): void {
  describe(`the summaries of replicas in ${name}`, () => {
    test('are those of the others, each the last one, until a replica ends', async () => {
      const stores = await Promise.all([open(), open(), open()]);
      const [one, other, third] = stores.map(({ replicas }) => replicas);
      const textsFor = async (replicas = one) => (await replicas?.others())?.map(({ text }) => text).sort();
      try {
        expect(await textsFor()).toEqual([]);
        for (const text of ['first', 'second']) await other?.leave(`other ${text}`);
        await third?.leave('third');
        expect(await textsFor()).toEqual(['other second', 'third']);
        expect(await textsFor(other)).toEqual(['third']);
        for (const { ageMs } of (await one?.others()) ?? []) {
          expect(ageMs).toBeGreaterThanOrEqual(0);
          expect(ageMs).toBeLessThan(30_000);
        }
        await third?.end();
        expect(await textsFor()).toEqual(['other second']);
        const ids = (await one?.others())?.map(({ id }) => id);
        await third?.end(ids);
        expect(await textsFor()).toEqual([]);
      } finally {
        await Promise.all(stores.map((store) => store.close()));
      }
    });
  });
}
