import { BenchWorld, CACHES } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { Rounds } from '../rounds.ts';
import type { Scenario } from '../scenario.ts';
import { loadSeconds } from '../wrk.ts';

/** Until V8 has optimized the code. After 3 s, the broker still takes 5 % more CPU, because it has more code than its peers. */
const WARM_UP_SECONDS = 8;
/** More than any peer answers. */
const MOST_PER_SECOND = 18_000;
/**
 * Processes of each peer, one after the other. Two processes of the same program differ by up to 5 % for as long as they
 * run, because V8 optimizes them differently.
 */
const PROCESSES = 3;

/** Each request has a new session, and its token is only in Redis. */
export const scenario: Scenario = ({ rounds, seconds, say }) =>
  BenchWorld.with(async (world) => {
    const roundsOfEach = Math.ceil(rounds / PROCESSES);
    const subjects = newSubjects((WARM_UP_SECONDS + roundsOfEach * seconds) * MOST_PER_SECOND);
    say(`  creating ${subjects.length} sessions and tokens …`);
    const list = await world.prepare(CACHES, subjects);
    const measured = new Rounds(CACHES, say);
    for (let number = 0; number < PROCESSES; number += 1) {
      await world.withServers(CACHES, async (servers) => {
        for (const peer of CACHES) await loadSeconds(servers[peer], list, MOST_PER_SECOND, 0, WARM_UP_SECONDS);
        await measured.take(roundsOfEach, (peer, round) =>
          loadSeconds(servers[peer], list, MOST_PER_SECOND, WARM_UP_SECONDS + round * seconds, seconds),
        );
      });
    }
    return {
      figures: measured.figures(),
      comparisons: [measured.throughput('naive', 1.1), measured.throughput('async-cache-dedupe', 1.2)],
    };
  });
