import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { onCores, SERVER_CORE } from '../processes/cores.ts';
import { compiled, ROOT } from '../processes/repository.ts';

const TIMEOUT_MS = 180_000;
/** Share of the renewals at the start that the figures ignore, because the code is not optimized yet. */
const WARM_UP_SHARE = 0.2;
/** If more renewals fail, the figures would be meaningless. */
const MAX_FAILED_SHARE = 0.01;

export interface DrainInput {
  readonly redisUrl: string;
  /** Number of due tokens. */
  readonly tokens: number;
  /** Concurrent jobs of a BullMQ worker. The broker has its own limit. */
  readonly concurrency?: number;
}

export interface DrainResult {
  readonly perSecond: number;
  /** Renewals per second of CPU time: the rate on a core that the process does not share. */
  readonly perCoreSecond: number;
}

/** Starts a process on the measured core that writes due tokens into Redis and renews them. @throws Error if it fails */
export async function drainWith(script: string, input: DrainInput): Promise<DrainResult> {
  const args = [compiled(`renewal/${script}`), JSON.stringify(input)];
  const { stdout } = await promisify(execFile)(...onCores(SERVER_CORE, process.execPath, args), {
    cwd: ROOT,
    timeout: TIMEOUT_MS,
  });
  return JSON.parse(stdout) as DrainResult;
}

/** For the started process: reads its input. */
export function drainInput(): DrainInput {
  return JSON.parse(process.argv[2] ?? '') as DrainInput;
}

/** For the started process: passes the result to {@link drainWith}. */
export function printResult(result: DrainResult): void {
  process.stdout.write(JSON.stringify(result));
}

/** Measures `total` renewals, without the warm-up. */
export class DrainMeter {
  readonly done: Promise<DrainResult>;
  readonly #total: number;
  readonly #warmUp: number;
  #finish: (result: DrainResult) => void = () => undefined;
  #renewed = 0;
  #failed = 0;
  #from = 0;
  #cpuFrom = process.cpuUsage();

  constructor(total: number) {
    this.#total = total;
    this.#warmUp = Math.floor(total * WARM_UP_SHARE);
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Counts a finished renewal. */
  count(): void {
    this.#renewed += 1;
    if (this.#renewed === this.#warmUp) {
      this.#from = performance.now();
      this.#cpuFrom = process.cpuUsage();
    }
    if (this.#renewed === this.#total) this.#finish(this.#measure());
  }

  /** Counts a failed renewal, which will be tried again. @throws Error after too many failures */
  fail(error: unknown): void {
    this.#failed += 1;
    if (this.#failed > MAX_FAILED_SHARE * this.#total) throw new Error('too many renewals failed', { cause: error });
  }

  #measure(): DrainResult {
    const measured = this.#total - this.#warmUp;
    const { user, system } = process.cpuUsage(this.#cpuFrom);
    return {
      perSecond: (measured / (performance.now() - this.#from)) * 1_000,
      perCoreSecond: (measured / (user + system)) * 1_000_000,
    };
  }
}
