import { median, medianRatio } from '../../../test/support/statistics.ts';
import { type Comparison, compare, type Figure } from '../figures.ts';
import type { LoadResult } from './wrk.ts';

/** The results of each peer, one per round. */
export type Rounds<Name extends string> = Readonly<Record<Name, readonly LoadResult[]>>;

const FIGURES: readonly (readonly [label: string, unit: string, of: (result: LoadResult) => number])[] = [
  ['requests', '/s', ({ perSecond }) => perSecond],
  ['p50', 'ms', ({ p50Ms }) => p50Ms],
  ['p99', 'ms', ({ p99Ms }) => p99Ms],
  ['server CPU per request', 'µs', ({ cpuUsPerRequest }) => cpuUsPerRequest],
  ['server busy', '%', ({ serverBusy }) => serverBusy * 100],
  ['load core busy', '%', ({ loadCoreBusy }) => loadCoreBusy * 100],
];

/** A server below this utilization was waiting for requests. */
const SATURATED = 0.95;

/**
 * Measures one peer after the other in each round, and in each second round from the last to the first, so that other
 * activity on the machine affects all peers alike.
 */
export async function takeTurns<Name extends string>(
  names: readonly Name[],
  rounds: number,
  turn: (name: Name) => Promise<LoadResult>,
  say: (line: string) => void,
): Promise<Record<Name, LoadResult[]>> {
  const results = Object.fromEntries(names.map((name) => [name, [] as LoadResult[]])) as Record<Name, LoadResult[]>;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const result = await turn(name);
      results[name].push(result);
      const { perSecond, p99Ms, cpuUsPerRequest } = result;
      const figures = [
        `${perSecond.toFixed(0)} /s`,
        `p99 ${p99Ms.toFixed(2)} ms`,
        `${cpuUsPerRequest.toFixed(0)} µs CPU`,
      ];
      say(`  round ${round + 1}  ${name.padEnd(20)} ${figures.map((figure) => figure.padStart(16)).join('')}`);
    }
  }
  return results;
}

/** The rounds of several runs of {@link takeTurns}, in their order. */
export function allRounds<Name extends string>(names: readonly Name[], runs: readonly Rounds<Name>[]): Rounds<Name> {
  const entries = names.map((name) => [name, runs.flatMap((rounds) => rounds[name])]);
  return Object.fromEntries(entries) as Rounds<Name>;
}

/** The median of each figure. */
export function loadFigures<Name extends string>(rounds: Rounds<Name>): Figure[] {
  return named(rounds).flatMap(([peer, results]) =>
    FIGURES.map(([label, unit, of]) => ({ peer, label, unit, value: median(results.map(of)) })),
  );
}

/** A sentence that names the servers that were waiting for requests, if any. */
export function loadNotes<Name extends string>(rounds: Rounds<Name>): string[] {
  const waiting = named(rounds).flatMap(([peer, results]) => {
    const busy = median(results.map(({ serverBusy }) => serverBusy));
    return busy < SATURATED ? [`${peer} (busy for ${(busy * 100).toFixed(0)} % of the time)`] : [];
  });
  if (waiting.length === 0) return [];
  return [`These servers waited for requests and could answer more: ${waiting.join(', ')}. Compare CPU per request.`];
}

/** Compares the throughput of two peers, per second and per second of CPU. */
export function throughput<Name extends string>(
  claim: string,
  rounds: Rounds<Name>,
  [one, other]: readonly [Name, Name],
  bound: number,
): Comparison {
  const of = (name: Name, figure: (result: LoadResult) => number) => rounds[name].map(figure);
  const perCpu = ({ cpuUsPerRequest }: LoadResult) => 1 / cpuUsPerRequest;
  return compare({
    claim,
    value: medianRatio(of(one, perSecond), of(other, perSecond)),
    is: 'atLeast',
    bound,
    unit: '×',
    beside: `${medianRatio(of(one, perCpu), of(other, perCpu)).toFixed(2)} × per CPU second`,
  });
}

function perSecond(result: LoadResult): number {
  return result.perSecond;
}

function named<Name extends string>(rounds: Rounds<Name>): [Name, readonly LoadResult[]][] {
  return Object.entries(rounds) as [Name, readonly LoadResult[]][];
}
