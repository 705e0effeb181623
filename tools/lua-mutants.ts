import { readdirSync, readFileSync } from 'node:fs';
import { CONNECTION_MUTANTS } from './lua-mutants/connections.ts';
import { LEASE_MUTANTS } from './lua-mutants/leases.ts';
import { PRELUDE_MUTANTS } from './lua-mutants/prelude.ts';
import { QUEUE_MUTANTS } from './lua-mutants/queues.ts';
import { REMOVAL_MUTANTS } from './lua-mutants/removals.ts';
import { TOKEN_MUTANTS } from './lua-mutants/tokens.ts';

/** One deliberate mistake in a Lua script. `from` occurs exactly once in the script. */
export type LuaMutant = readonly [name: string, from: string, to: string];

/** By script of src/store/redis/scripts. */
export type LuaMutants = Readonly<Record<string, readonly LuaMutant[]>>;

const LUA_MUTANTS: LuaMutants = {
  ...PRELUDE_MUTANTS,
  ...LEASE_MUTANTS,
  ...TOKEN_MUTANTS,
  ...REMOVAL_MUTANTS,
  ...QUEUE_MUTANTS,
  ...CONNECTION_MUTANTS,
};

/** @throws Error when a mutant does not fit its script, or a script has no mutant */
export function allMutants(): { script: string; mutant: LuaMutant }[] {
  const folder = new URL('../src/store/redis/scripts/', import.meta.url);
  for (const file of readdirSync(folder)) {
    if (!LUA_MUTANTS[file.replace('.lua', '')]) throw new Error(`${file} has no mutant`);
  }
  const all = Object.entries(LUA_MUTANTS).flatMap(([script, list]) => list.map((mutant) => ({ script, mutant })));
  for (const { script, mutant } of all) {
    const [name, from] = mutant;
    const count = readFileSync(new URL(`${script}.lua`, folder), 'utf8').split(from).length - 1;
    if (count !== 1) throw new Error(`${script}: ${name}: the old text occurs ${count} times instead of once: ${from}`);
  }
  return all;
}
