import { CONNECTION_MUTANTS } from './lua-mutants/connections.ts';
import { LEASE_MUTANTS } from './lua-mutants/leases.ts';
import { PRELUDE_MUTANTS } from './lua-mutants/prelude.ts';
import { QUEUE_MUTANTS } from './lua-mutants/queues.ts';
import { REMOVAL_MUTANTS } from './lua-mutants/removals.ts';
import { TOKEN_MUTANTS } from './lua-mutants/tokens.ts';

/**
 * One deliberate mistake in a Lua script. `from` occurs exactly once in the script. `harmless` says why no test needs
 * to find the mistake.
 */
export type LuaMutant = readonly [name: string, from: string, to: string, harmless?: string];

/** By script of src/store/redis/scripts. */
export type LuaMutants = Readonly<Record<string, readonly LuaMutant[]>>;

export const LUA_MUTANTS: LuaMutants = {
  ...PRELUDE_MUTANTS,
  ...LEASE_MUTANTS,
  ...TOKEN_MUTANTS,
  ...REMOVAL_MUTANTS,
  ...QUEUE_MUTANTS,
  ...CONNECTION_MUTANTS,
};
