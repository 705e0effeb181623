import { compare } from '../comparison.ts';
import type { Comparison, Figure } from '../scenario.ts';
import { median, medianRatio } from '../statistics.ts';
import type { LoadResult } from './wrk.ts';

/** What each peer did, round by round. */
export type Rounds<Name extends string> = Readonly<Record<Name, readonly LoadResult[]>>;

const FIGURES: readonly (readonly [label: string, unit: string, of: (result: LoadResult) => number])[] = [
  ['requests', '/s', ({ perSecond }) => perSecond],
  ['p50', 'ms', ({ p50Ms }) => p50Ms],
  ['p99', 'ms', ({ p99Ms }) => p99Ms],
  ['server CPU per request', 'µs', ({ cpuUsPerRequest }) => cpuUsPerRequest],
  ['server busy', '%', ({ serverBusy }) => serverBusy * 100],
  ['load core busy', '%', ({ loadCoreBusy }) => loadCoreBusy * 100],
];

/** A server less busy than this waited for its load. */
const SATURATED = 0.95;

/** The medians of it all. */
export function loadFigures<Name extends string>(rounds: Rounds<Name>): Figure[] {
  return named(rounds).flatMap(([peer, results]) =>
    FIGURES.map(([label, unit, of]) => ({ peer, label, unit, value: median(results.map(of)) })),
  );
}

/** Which servers were not the limit, if any, in one sentence. */
export function loadNotes<Name extends string>(rounds: Rounds<Name>): string[] {
  const waiting = named(rounds).flatMap(([peer, results]) => {
    const busy = median(results.map(({ serverBusy }) => serverBusy));
    return busy < SATURATED ? [`${peer} (busy for ${(busy * 100).toFixed(0)} % of the time)`] : [];
  });
  if (waiting.length === 0) return [];
  return [`Not the limit, and able to answer more than it was asked: ${waiting.join(', ')}. Compare CPU per request.`];
}

/** How many times as much one answers as another, per second, and beside it per CPU second. */
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
