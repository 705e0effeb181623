import { BenchWorld, PEERS } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { MOST_PER_SECOND, Rounds, WARM_UP_SECONDS } from '../rounds.ts';
import type { Scenario } from '../scenario.ts';
import { load } from '../wrk.ts';

/** Each request has a new session, and its token is only in Redis. */
export const scenario: Scenario = ({ rounds, seconds, say }) =>
  BenchWorld.with(async (world) => {
    const warmUps = Math.ceil(WARM_UP_SECONDS / seconds);
    const perRound = seconds * MOST_PER_SECOND;
    const subjects = newSubjects((warmUps + rounds) * perRound);
    say(`  creating ${subjects.length} sessions and tokens …`);
    const list = await world.prepare(PEERS, subjects);
    const measured = new Rounds(PEERS, say);
    await measured.takeInNewProcesses(world, warmUps, rounds, (server, turn) =>
      load(server, { list, first: turn * perRound + 1, last: (turn + 1) * perRound, seconds }),
    );
    return { figures: measured.figures(rounds), comparisons: [measured.throughput('naive', 1)] };
  });
