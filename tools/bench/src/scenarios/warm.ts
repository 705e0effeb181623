import { BenchWorld, PEERS } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { Rounds, WARM_UP_SECONDS } from '../rounds.ts';
import type { Scenario } from '../scenario.ts';
import { load } from '../wrk.ts';

const SESSIONS = 500;

/** 500 sessions read again and again. Their tokens are in memory. */
export const scenario: Scenario = ({ rounds, seconds, say }) =>
  BenchWorld.with(async (world) => {
    const list = await world.prepare(PEERS, newSubjects(SESSIONS));
    const measured = new Rounds(PEERS, say);
    const warmUps = Math.ceil(WARM_UP_SECONDS / seconds / 2);
    await measured.takeInNewProcesses(world, warmUps, rounds, (server) =>
      load(server, { list, first: 1, last: SESSIONS, repeat: true, seconds }),
    );
    return { figures: measured.figures(rounds), comparisons: [measured.throughput('async-cache-dedupe', 1.5)] };
  });
