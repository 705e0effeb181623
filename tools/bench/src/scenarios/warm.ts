import { BenchWorld, PEERS, type PeerName } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { Rounds } from '../rounds.ts';
import type { Scenario } from '../scenario.ts';
import { load } from '../wrk.ts';

const SESSIONS = 500;
/** Until V8 has optimized the code. */
const WARM_UP_SECONDS = 5;

/** 500 sessions read again and again. Their tokens are in memory. */
export const scenario: Scenario = ({ rounds, seconds, say }) =>
  BenchWorld.with(async (world) => {
    const list = await world.prepare(PEERS, newSubjects(SESSIONS));
    const measured = new Rounds(PEERS, say);
    await world.withServers(PEERS, async (servers) => {
      const turn = (peer: PeerName, duration: number) =>
        load(servers[peer], { list, first: 1, last: SESSIONS, repeat: true, seconds: duration });
      for (const peer of PEERS) await turn(peer, WARM_UP_SECONDS);
      await measured.take(rounds, (peer) => turn(peer, seconds));
    });
    return { figures: measured.figures(), comparisons: [measured.throughput('bare', 0.75)] };
  });
