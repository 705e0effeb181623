import { BenchWorld, CACHES } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { MOST_PER_SECOND, PROCESSES, Rounds, WARM_UP_SECONDS } from '../rounds.ts';
import type { Scenario } from '../scenario.ts';
import { load } from '../wrk.ts';

/**
 * Each request has a new session, and its token is only in Redis. The peers take turns of one round, also to warm up:
 * the speed of a machine changes within seconds by more than the peers differ. The broker alone has protection against
 * idle time (its flags and `keepTickFast`). With the same, the peers gained about 1 % in the mean of six sets.
 */
export const scenario: Scenario = ({ rounds, seconds, say }) =>
  BenchWorld.with(async (world) => {
    const warmUps = Math.ceil(WARM_UP_SECONDS / seconds);
    const perRound = seconds * MOST_PER_SECOND;
    const subjects = newSubjects((warmUps + rounds) * perRound);
    say(`  creating ${subjects.length} sessions and tokens …`);
    const list = await world.prepare(CACHES, subjects);
    const measured = new Rounds(CACHES, say);
    for (let processes = 0; processes < PROCESSES; processes += 1) {
      await world.withServers(CACHES, async (servers) => {
        const take = (into: typeof measured, turns: number, skipped: number) =>
          into.take(turns, (peer, turn) => {
            const first = (skipped + turn) * perRound + 1;
            return load(servers[peer], { list, first, last: first + perRound - 1, seconds });
          });
        await take(new Rounds(CACHES, () => undefined), warmUps, 0);
        await take(measured, rounds, warmUps);
      });
    }
    return {
      figures: measured.figures(),
      comparisons: [measured.throughput('naive', 1.1), measured.throughput('async-cache-dedupe', 1.2)],
    };
  });
