import { type BenchWorld, CACHES, type PeerName } from './bench-world.ts';
import { Rounds } from './rounds.ts';
import type { ScenarioContext } from './scenario.ts';
import { load } from './wrk.ts';

/**
 * Until V8 has optimized the code. After 3 s, the broker still takes 5 % more CPU, because it has more code than its
 * peers.
 */
export const WARM_UP_SECONDS = 8;
/**
 * Processes of each peer. Two processes of the same program differ by up to 5 % for as long as they run, because V8
 * optimizes them differently.
 */
export const PROCESSES = 5;

/** More than any peer answers. */
export const MOST_PER_SECOND = 18_000;

/**
 * Each process is measured once, for the time of all rounds. In 1 s on a slow machine, most of the slowest percent are
 * the first requests of the 32 connections, and it is chance whether V8 marks its heap in that second.
 */
const measuredSeconds = ({ rounds, seconds }: ScenarioContext): number => rounds * seconds;

/** Requests that a list must have, so that no process sends one of them twice. */
export function requestsOf(context: ScenarioContext): number {
  return (WARM_UP_SECONDS + measuredSeconds(context)) * MOST_PER_SECOND;
}

/**
 * Measures new processes of each peer that stores tokens, each right after its warm-up, and for long: its slowest
 * answers are those while V8 marks its heap.
 */
export async function measureNewProcesses(
  world: BenchWorld,
  context: ScenarioContext,
  list: string,
): Promise<Rounds<Exclude<PeerName, 'bare'>>> {
  const measured = new Rounds(CACHES, context.say);
  await measured.take(PROCESSES, (peer) =>
    world.withServers([peer], async ({ [peer]: server }) => {
      const warmUp = WARM_UP_SECONDS * MOST_PER_SECOND;
      await load(server, { list, first: 1, last: warmUp, seconds: WARM_UP_SECONDS });
      const seconds = measuredSeconds(context);
      return load(server, { list, first: warmUp + 1, last: warmUp + seconds * MOST_PER_SECOND, seconds });
    }),
  );
  return measured;
}
