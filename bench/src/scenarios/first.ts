import { BenchWorld, CACHES } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { measureNewProcesses, requestsOf } from '../new-processes.ts';
import type { Scenario } from '../scenario.ts';

/** More than any peer answers. */
const MOST_PER_SECOND = 18_000;

/** Each request has a new session, and its token is only in Redis. */
export const scenario: Scenario = (context) =>
  BenchWorld.with(async (world) => {
    const subjects = newSubjects(requestsOf(context, MOST_PER_SECOND));
    context.say(`  creating ${subjects.length} sessions and tokens …`);
    const list = await world.prepare(CACHES, subjects);
    const measured = await measureNewProcesses(world, context, { list, mostPerSecond: MOST_PER_SECOND });
    return {
      figures: measured.figures(),
      comparisons: [measured.throughput('naive', 1.1), measured.throughput('async-cache-dedupe', 1.2)],
    };
  });
