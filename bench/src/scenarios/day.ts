import type { Subject } from '../../../src/token/subject.ts';
import { BenchWorld, CACHES } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { measureNewProcesses, requestsOf } from '../new-processes.ts';
import type { Scenario } from '../scenario.ts';
import type { BenchSessions } from '../sessions.ts';

const SUBJECTS = 100_000;
/** Share of the requests with a new session, besides the first request of each subject. Together they are 75 %. */
const NEW_SESSIONS = 0.7;

/**
 * A day of a fleet: few subjects read often, most read rarely, and 75 % of the sessions are new. Redis has all tokens.
 */
export const scenario: Scenario = (context) =>
  BenchWorld.with(async (world) => {
    const subjects = newSubjects(SUBJECTS);
    const count = requestsOf(context);
    context.say(`  creating ${count} requests and ${SUBJECTS} tokens …`);
    for (const peer of CACHES) await world.fill(peer, subjects);
    const list = await world.writeList(dayOf(subjects, world.sessions, count));
    const measured = await measureNewProcesses(world, context, list);
    return { figures: measured.figures(), comparisons: [measured.slowAnswers('naive', 1.5)] };
  });

function dayOf(subjects: readonly Subject[], sessions: BenchSessions, requests: number): string[] {
  const latest = new Map<number, string>();
  return Array.from({ length: requests }, () => {
    // Zipf's law: number n is drawn about 1 / n times as often as number 1.
    const drawn = Math.floor(subjects.length ** Math.random());
    const known = Math.random() < NEW_SESSIONS ? undefined : latest.get(drawn);
    const request = known ?? sessions.requestOf(subjects[drawn] as Subject);
    latest.set(drawn, request);
    return request;
  });
}
