import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Subject } from '../../../../src/token/subject.ts';
import { median } from '../../../../test/support/statistics.ts';
import { BenchWorld, PEERS, type PeerName } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { BOTH_CORES } from '../cores.ts';
import { type Comparison, compare, type Figure, type Scenario } from '../scenario.ts';

const REQUESTS = 1_000;
const PROCESSES = 3;
const LATENCY_MS = 300;
const MAX_ANSWER_MS = 400;
/** Storms that warm up the new processes. They do not count. */
const WARM_UPS = 5;

/** 1,000 simultaneous requests to three processes for one subject without a token. The vendor takes 300 ms. */
export const scenario: Scenario = ({ rounds, say }) =>
  BenchWorld.with(async (world) => {
    world.vendor.configure({ latencyMs: LATENCY_MS });
    const figures: Figure[] = [];
    const comparisons: Comparison[] = [];
    for (const peer of PEERS) {
      const [logins, failures, slowestMs] = await stormsOn(world, peer, rounds, say);
      figures.push({ peer, label: 'most logins', unit: '', value: logins });
      figures.push({ peer, label: 'most failed requests', unit: '', value: failures });
      figures.push({ peer, label: 'slowest answer', unit: 'ms', value: slowestMs });
      if (peer !== 'broker') continue;
      comparisons.push(
        compare({ claim: 'most logins', value: logins, is: '≤', bound: 1, unit: '' }),
        compare({ claim: 'slowest answer', value: slowestMs, is: '≤', bound: MAX_ANSWER_MS, unit: 'ms' }),
      );
    }
    return { figures, comparisons };
  });

/** The most logins and the most failures of a storm, and the ms until the last answer: the median of the storms. */
async function stormsOn(world: BenchWorld, peer: PeerName, rounds: number, say: (line: string) => void) {
  const servers = await Promise.all(Array.from({ length: PROCESSES }, () => world.start(peer, BOTH_CORES)));
  const sockets = Array.from({ length: REQUESTS }, (_, index) => {
    const { hostname: host, port } = new URL(servers[index % PROCESSES]?.url ?? '');
    return connect({ host, port: Number(port), noDelay: true });
  });
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const storms: { logins: number; failed: number; tookMs: number }[] = [];
  for (const subject of newSubjects(WARM_UPS + rounds)) {
    const before = world.vendor.state().succeeded;
    const { failed, tookMs } = await storm(peer, sockets, subject, world.sessions.of(subject));
    const logins = world.vendor.state().succeeded - before;
    storms.push({ logins, failed, tookMs });
    say(`  ${peer.padEnd(20)} ${logins} logins, ${failed} failed, slowest ${tookMs.toFixed(0)} ms`);
  }
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.map((server) => server.stop()));
  const counted = storms.slice(WARM_UPS);
  const most = (figure: 'logins' | 'failed') => Math.max(...counted.map((one) => one[figure]));
  return [most('logins'), most('failed'), median(counted.map(({ tookMs }) => tookMs))] as const;
}

/**
 * Sends a request on each connection. Returns how many of them fail, and the ms until the last answer begins.
 * @throws Error if one of the broker fails
 */
export async function storm(peer: PeerName, sockets: readonly Socket[], { uniqueId }: Subject, session: string) {
  const head = [`GET /sdk-token?uniqueId=${uniqueId} HTTP/1.1`, 'Host: 127.0.0.1', `Authorization: Bearer ${session}`];
  const request = `${head.join('\r\n')}\r\n\r\n`;
  const startedAt = performance.now();
  const answers = sockets.map(async (socket) => {
    socket.write(request);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    const [status = ''] = answer.toString('latin1', 0, 64).split('\r\n');
    const isToken = status.startsWith('HTTP/1.1 200');
    if (!isToken && peer === 'broker') throw new Error(`Invalid run: a request was answered with ${status}`);
    return isToken;
  });
  const failed = (await Promise.all(answers)).filter((isToken) => !isToken).length;
  return { failed, tookMs: performance.now() - startedAt };
}
