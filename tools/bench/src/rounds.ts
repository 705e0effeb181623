import { median, medianRatio } from '../../../test/support/statistics.ts';
import type { BenchWorld, PeerName } from './bench-world.ts';
import { type Comparison, compare, type Figure } from './scenario.ts';
import type { Server } from './server.ts';
import type { LoadResult } from './wrk.ts';

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

const FIGURES: readonly (readonly [label: string, unit: string, of: (result: LoadResult) => number])[] = [
  ['requests', '/s', ({ perSecond }) => perSecond],
  ['p50', 'ms', ({ p50Ms }) => p50Ms],
  ['p99', 'ms', ({ p99Ms }) => p99Ms],
  ['server CPU per request', 'µs', ({ cpuUsPerRequest }) => cpuUsPerRequest],
  ['server busy', '%', ({ serverBusy }) => serverBusy * 100],
  ['load core busy', '%', ({ loadCoreBusy }) => loadCoreBusy * 100],
];

/** Measures peers in turns, and compares the last of them with the others. */
export class Rounds<Name extends PeerName> {
  readonly #peers: readonly Name[];
  readonly #results: Readonly<Record<Name, LoadResult[]>>;
  readonly #say: (line: string) => void;

  constructor(peers: readonly Name[], say: (line: string) => void) {
    this.#peers = peers;
    this.#results = Object.fromEntries(peers.map((peer) => [peer, []])) as unknown as Record<Name, LoadResult[]>;
    this.#say = say;
  }

  /**
   * Measures one peer after the other in each turn, and in each second turn from the last to the first, so that other
   * activity on the machine affects all peers alike.
   */
  async take(turns: number, measure: (peer: Name, turn: number) => Promise<LoadResult>): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) {
      for (const peer of turn % 2 === 0 ? this.#peers : this.#peers.toReversed()) {
        const result = await measure(peer, turn);
        this.#results[peer].push(result);
        this.#say(`  ${peer.padEnd(20)} ${result.perSecond.toFixed(0)}/s  p99 ${result.p99Ms.toFixed(2)} ms`);
      }
    }
  }

  /**
   * The same with five sets of new processes. The peers take turns of one round, also to warm up, because the speed of a
   * machine changes within seconds by more than the peers differ.
   * @param measure turns count on from the warm-up
   */
  async takeInNewProcesses(
    world: BenchWorld,
    warmUps: number,
    turns: number,
    measure: (server: Server, turn: number) => Promise<LoadResult>,
  ): Promise<void> {
    for (let processes = 0; processes < PROCESSES; processes += 1) {
      await world.withServers(this.#peers, async (servers) => {
        const warmingUp = new Rounds(this.#peers, () => undefined);
        await warmingUp.take(warmUps, (peer, turn) => measure(servers[peer], turn));
        await this.take(turns, (peer, turn) => measure(servers[peer], warmUps + turn));
      });
    }
  }

  /** The median of each figure, and how many processes were slow. @param perProcess number of turns of each */
  figures(perProcess = 1): Figure[] {
    return this.#peers.flatMap((peer) => [
      ...FIGURES.map(([label, unit, of]) => ({ peer, label, unit, value: median(this.#results[peer].map(of)) })),
      { peer, label: `slow ones of ${PROCESSES} processes`, unit: '', value: this.#slowProcesses(peer, perProcess) },
    ]);
  }

  /** A slow process takes a quarter more CPU for each request than the median one. */
  #slowProcesses(peer: Name, perProcess: number): number {
    const results = this.#results[peer].map(({ cpuUsPerRequest }) => cpuUsPerRequest);
    const processes = Array.from({ length: results.length / perProcess }, (_, number) =>
      median(results.slice(number * perProcess, (number + 1) * perProcess)),
    );
    return processes.filter((cpu) => cpu > 1.25 * median(processes)).length;
  }

  /** Compares the requests per second with those of a peer. */
  throughput(peer: Name, bound: number): Comparison {
    const perSecond = this.#ratio(peer, (result) => result.perSecond);
    const perCpu = this.#ratio(peer, ({ cpuUsPerRequest }) => 1 / cpuUsPerRequest);
    const claim = `requests per second, relative to ${peer}`;
    const beside = `${perCpu.toFixed(2)} × per CPU second`;
    return compare({ claim, value: perSecond, is: '≥', bound, unit: '×', beside });
  }

  /** Compares the slow answers with those of a peer. */
  slowAnswers(peer: Name, bound: number): Comparison {
    const value = this.#ratio(peer, ({ p99Ms }) => p99Ms);
    return compare({ claim: `p99, relative to ${peer}`, value, is: '≤', bound, unit: '×' });
  }

  #ratio(peer: Name, figure: (result: LoadResult) => number): number {
    const measured = this.#results[this.#peers.at(-1) ?? peer];
    return medianRatio(measured.map(figure), this.#results[peer].map(figure));
  }
}
