import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import { TERMINALS, tokenStoreContract } from './token-store.contract.ts';

tokenStoreContract('this process', async () =>
  createMemoryStore({ clock: systemClock, terminalsPerAccount: TERMINALS }),
);
