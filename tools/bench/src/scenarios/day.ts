import type { Subject } from '../../../../src/token/subject.ts';
import { BenchWorld, PEERS } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { MOST_PER_SECOND, PROCESSES, Rounds, WARM_UP_SECONDS } from '../rounds.ts';
import type { Scenario } from '../scenario.ts';
import type { BenchSessions } from '../sessions.ts';
import { load } from '../wrk.ts';

const SUBJECTS = 100_000;
/** Share of the requests with a new session, besides the first request of each subject. Together they are 75 %. */
const NEW_SESSIONS = 0.7;

/**
 * A day of a fleet: few subjects read often, most read rarely, and 75 % of the sessions are new. Redis has all tokens.
 *
 * Each new process is measured once, for the time of all rounds. In 1 s on a slow machine, most of the slowest percent
 * are the first requests of the 32 connections, and it is chance whether V8 marks its heap in that second.
 */
export const scenario: Scenario = ({ rounds, seconds, say }) =>
  BenchWorld.with(async (world) => {
    const measuredSeconds = rounds * seconds;
    const warmUp = WARM_UP_SECONDS * MOST_PER_SECOND;
    const count = warmUp + measuredSeconds * MOST_PER_SECOND;
    const subjects = newSubjects(SUBJECTS);
    say(`  creating ${count} requests and ${SUBJECTS} tokens …`);
    for (const peer of PEERS) await world.fill(peer, subjects);
    const list = await world.writeList(dayOf(subjects, world.sessions, count));
    const measured = new Rounds(PEERS, say);
    await measured.take(PROCESSES, (peer) =>
      world.withServers([peer], async ({ [peer]: server }) => {
        await load(server, { list, first: 1, last: warmUp, seconds: WARM_UP_SECONDS });
        return load(server, { list, first: warmUp + 1, last: count, seconds: measuredSeconds });
      }),
    );
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
