import { BenchWorld, CACHES } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { measureNewProcesses, requestsOf } from '../new-processes.ts';
import type { Scenario } from '../scenario.ts';

/** Each request has a new session, and its token is only in Redis. */
export const scenario: Scenario = (context) =>
  BenchWorld.with(async (world) => {
    const subjects = newSubjects(requestsOf(context));
    context.say(`  creating ${subjects.length} sessions and tokens …`);
    const list = await world.prepare(CACHES, subjects);
    const measured = await measureNewProcesses(world, context, list);
    return {
      figures: measured.figures(),
      comparisons: [measured.throughput('naive', 1.1), measured.throughput('async-cache-dedupe', 1.2)],
    };
  });
