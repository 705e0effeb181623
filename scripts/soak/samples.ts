import { readdirSync } from 'node:fs';
import { ALL_CORES, busyMs, cpuMs, residentBytes } from '../../bench/src/cores.ts';
import { median } from '../../test/support/statistics.ts';
import type { HonestLoad } from './honest-load.ts';
import type { Targets } from './targets.ts';

/**
 * A figure levels off if the median of the last third of the run is at most this much above those of the thirds before.
 */
export const ALLOWED_GROWTH = 0.1;
const PARTS = 6;
const P99 = 'known tokens, p99, ms';
const MB = 1_000_000;

interface Series {
  readonly name: string;
  /** Whether the figure must level off. */
  readonly mustLevelOff: boolean;
  readonly digits: number;
  readonly values: number[];
}

/** The figures of one run, with one value for each interval. */
export class Samples {
  readonly #targets: Targets;
  readonly #honest: HonestLoad;
  readonly #series = new Map<string, Series>();
  #before: {
    readonly at: number;
    readonly cpuSeconds: number;
    readonly busySeconds: number;
    readonly logBytes: readonly number[];
  };

  constructor(targets: Targets, honest: HonestLoad) {
    this.#targets = targets;
    this.#honest = honest;
    this.#before = this.#counters();
  }

  async take(): Promise<void> {
    const { replicas, redis } = this.#targets;
    const [before, now] = [this.#before, this.#counters()];
    this.#before = now;
    const seconds = (now.at - before.at) / 1_000;
    for (const { mode, broker } of replicas)
      this.#add(`memory, replica ${mode}, MB`, residentBytes(broker.pid) / MB, 1);
    for (const { mode, broker } of replicas) this.#add(`open descriptors, replica ${mode}`, descriptors(broker.pid), 0);
    for (const [index, { mode }] of replicas.entries()) {
      const bytes = (now.logBytes[index] ?? 0) - (before.logBytes[index] ?? 0);
      this.#add(`log, replica ${mode}, KB a minute`, (bytes * 60) / seconds / 1_000, 1);
    }
    this.#add('keys in Redis', await redis.client.dbsize(), 0);
    this.#add('memory of Redis, MB', (await redis.info('used_memory')) / MB, 2);
    const { servedShare, p99Ms, newcomersInTime } = this.#honest.interval();
    this.#add('known tokens served, %', servedShare * 100, 1, false);
    this.#add(P99, p99Ms, 1, false);
    this.#add('newcomers served within 1 s, %', newcomersInTime * 100, 1, false);
    const cores = (now.cpuSeconds - before.cpuSeconds) / seconds;
    this.#add('CPU of the replicas, Redis and all clients, cores', cores, 2, false);
    this.#add('CPU of other programs, cores', (now.busySeconds - before.busySeconds) / seconds - cores, 2, false);
    process.stdout.write(`${[...this.#series.values()].map(latest).join(' · ')}\n`);
  }

  /** The rows of the table: the median of each sixth of the run, and the growth of the last third. */
  rows(minutes: number): string[][] {
    const ends = Array.from({ length: PARTS + 1 }, (_, part) => Number(((part * minutes) / PARTS).toFixed(1)));
    const head = ends.slice(1).map((end, part) => `${ends[part]}–${end} min`);
    const rows = [...this.#series.values()].map(({ name, mustLevelOff, digits, values }) => [
      name,
      ...Array.from({ length: PARTS }, (_, part) => median(share(values, part, PARTS)).toFixed(digits)),
      mustLevelOff ? `${(100 * growth(values)).toFixed(1)} %` : '',
    ]);
    return [['median of each part', ...head, 'growth'], ...rows];
  }

  /** The median of the p99 of known tokens, in ms. */
  medianP99(): number {
    return median(this.#series.get(P99)?.values ?? []);
  }

  /** The figures that did not level off. */
  growing(): string[] {
    return [...this.#series.values()]
      .filter(({ mustLevelOff, values }) => mustLevelOff && growth(values) > ALLOWED_GROWTH)
      .map(({ name }) => name);
  }

  #add(name: string, value: number, digits: number, mustLevelOff = true): void {
    const series = this.#series.get(name) ?? { name, mustLevelOff, digits, values: [] };
    this.#series.set(name, series);
    series.values.push(value);
  }

  #counters() {
    const { replicas, redis } = this.#targets;
    const pids = [process.pid, redis.pid, ...replicas.map(({ broker }) => broker.pid)];
    return {
      at: performance.now(),
      cpuSeconds: pids.reduce((sum, pid) => sum + cpuMs(pid), 0) / 1_000,
      busySeconds: busyMs(ALL_CORES) / 1_000,
      logBytes: replicas.map(({ broker }) => broker.logBytes()),
    };
  }
}

/** The last third of the values against the larger one of the thirds before. */
function growth(values: readonly number[]): number {
  const [first = 0, second = 0, last = 0] = [0, 1, 2].map((third) => median(share(values, third, 3)));
  return last / Math.max(first, second) - 1;
}

function share(values: readonly number[], part: number, parts: number): number[] {
  const at = (index: number) => Math.round((index * values.length) / parts);
  return values.slice(at(part), at(part + 1));
}

function latest({ name, digits, values }: Series): string {
  return `${name} ${(values.at(-1) ?? Number.NaN).toFixed(digits)}`;
}

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
