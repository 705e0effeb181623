import type { LoadResult } from './wrk.ts';

/** Has one peer after the other take its turn, and then again, so that what else the machine does meets all alike. */
export async function takeTurns<Name extends string>(
  names: readonly Name[],
  rounds: number,
  turn: (name: Name, round: number) => Promise<LoadResult>,
  say: (line: string) => void,
): Promise<Record<Name, LoadResult[]>> {
  const results = Object.fromEntries(names.map((name) => [name, [] as LoadResult[]])) as Record<Name, LoadResult[]>;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) {
      const result = await turn(name, round);
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
