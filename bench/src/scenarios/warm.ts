import { BenchWorld, PEERS, type PeerName } from '../bench-world.ts';
import { loadFigures, loadNotes, takeTurns, throughput } from '../load/rounds.ts';
import { load, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import { type BenchSubject, newSubjects } from '../subjects.ts';

export const SESSIONS = 500;
/** Until V8 has optimized the code. */
const WARM_UP_SECONDS = 5;

/** Part of the throughput of bare Fastify. */
const BOUND = 0.8;

/** 500 sessions read again and again. Their tokens are in memory. */
export function warmReads(name: string, newAccounts: () => readonly BenchSubject[]): Scenario {
  return {
    name,
    run: ({ rounds, seconds, say }) =>
      BenchWorld.with(0, async (world) => {
        const subjects = newAccounts();
        const list = { ...(await writeRequests(world.folder, world.sessions, subjects)), first: 1, last: SESSIONS };
        for (const peer of PEERS) await world.fill(peer, subjects);
        const results = await world.withServers(PEERS, async (servers) => {
          const turn = (peer: PeerName, duration: number) =>
            load(servers[peer], { ...list, repeat: true, seconds: duration });
          for (const peer of PEERS) await turn(peer, WARM_UP_SECONDS);
          return takeTurns(PEERS, rounds, (peer) => turn(peer, seconds), say);
        });
        return {
          figures: loadFigures(results),
          notes: loadNotes(results),
          comparisons: [throughput('requests per second, relative to bare', results, ['broker', 'bare'], BOUND)],
        };
      }),
  };
}

export const scenario = warmReads('warm', () => newSubjects(SESSIONS));
