import { setTimeout as sleep } from 'node:timers/promises';
import { plainRequest } from '../../test/support/plain-request.ts';
import { percentile } from '../../test/support/statistics.ts';
import type { Replica, Targets } from './targets.ts';

const KNOWN_ACCOUNTS = 40;
const READS_PER_SECOND = 30;
/**
 * Each newcomer returns after 12 minutes. By then, its login before counts as none: that takes 10 minutes. Ever new
 * accounts would leave ever more entries in Redis, because the broker keeps the accessId of each account.
 */
const NEWCOMERS = 360;
const NEWCOMERS_PER_SECOND = 0.5;
const NEWCOMER_STAYS_MS = 5_000;
const NEWCOMER_WITHIN_MS = 1_000;

interface Answered {
  readonly ok: boolean;
  /** The error code of the broker, or the error of the connection, if the request was not served. */
  readonly problem: string | undefined;
  readonly tookMs: number;
}

/** The honest requests of one interval. */
export interface HonestFigures {
  /** Reads of known tokens that were answered with a token, from 0 to 1. */
  readonly servedShare: number;
  readonly p99Ms: number;
  /** Newcomers that had a token within a second, from 0 to 1. */
  readonly newcomersInTime: number;
}

/** Apps that read known tokens, and accounts that come to the broker for the first time after a while. */
export class HonestLoad {
  readonly #replicas: readonly Replica[];
  readonly #reads: Answered[] = [];
  readonly #newcomers: Answered[] = [];
  #readsBefore = 0;
  #newcomersBefore = 0;

  constructor({ replicas }: Targets) {
    this.#replicas = replicas;
  }

  /** Logs the known accounts in. */
  async prepare(): Promise<void> {
    for (let number = 0; number < KNOWN_ACCOUNTS; number += 1) {
      for (const replica of this.#replicas) {
        const { ok } = await read(replica, `known-${number}`);
        if (!ok) throw new Error(`the account known-${number} got no token before the attacks`);
      }
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      repeat(READS_PER_SECOND, signal, async (number) => {
        // The number of replicas does not divide the number of accounts, so each account comes to each replica.
        const { length } = this.#replicas;
        this.#reads.push(await read(this.#replicas[number % length] as Replica, `known-${number % KNOWN_ACCOUNTS}`));
      }),
      repeat(NEWCOMERS_PER_SECOND, signal, async (number) => {
        const replica = this.#replicas[number % this.#replicas.length] as Replica;
        const account = `newcomer-${number % NEWCOMERS}`;
        this.#newcomers.push(await read(replica, account));
        await sleep(NEWCOMER_STAYS_MS);
        const headers = await replica.sessionOf(account);
        await plainRequest(`${replica.broker.url}/sdk-token?uniqueId=phone`, { method: 'DELETE', headers });
      }),
    ]);
  }

  /** The figures since the last call. */
  interval(): HonestFigures {
    const figures = figuresOf(this.#reads.slice(this.#readsBefore), this.#newcomers.slice(this.#newcomersBefore));
    this.#readsBefore = this.#reads.length;
    this.#newcomersBefore = this.#newcomers.length;
    return figures;
  }

  /** The figures of the whole run, and why reads of known tokens were not served. */
  total(): HonestFigures & { readonly reads: number; readonly newcomers: number; readonly problems: string[] } {
    const [reads, newcomers] = [this.#reads.length, this.#newcomers.length];
    const problems = this.#reads.flatMap(({ problem }) => problem ?? []);
    return { ...figuresOf(this.#reads, this.#newcomers), reads, newcomers, problems };
  }
}

async function read({ mode, broker, sessionOf }: Replica, account: string): Promise<Answered> {
  const headers = await sessionOf(account);
  const startedAt = performance.now();
  const problem = await plainRequest(`${broker.url}/sdk-token?uniqueId=phone`, { headers }).then(
    ({ status, body }): string | undefined => (status === 200 ? undefined : JSON.parse(body).code),
    (error: NodeJS.ErrnoException) => error.code ?? error.name,
  );
  const ok = problem === undefined;
  return { ok, problem: ok ? undefined : `${mode}: ${problem}`, tookMs: performance.now() - startedAt };
}

function figuresOf(reads: readonly Answered[], newcomers: readonly Answered[]): HonestFigures {
  const share = (all: readonly Answered[], isGood: (one: Answered) => boolean) =>
    all.filter(isGood).length / all.length;
  return {
    servedShare: share(reads, ({ ok }) => ok),
    p99Ms: percentile(
      reads.map(({ tookMs }) => tookMs),
      0.99,
    ),
    newcomersInTime: share(newcomers, ({ ok, tookMs }) => ok && tookMs < NEWCOMER_WITHIN_MS),
  };
}

async function repeat(perSecond: number, signal: AbortSignal, once: (number: number) => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  const running = new Set<Promise<void>>();
  for (let number = 0; !signal.aborted; number += 1) {
    await sleep(Math.max(0, startedAt + (number * 1_000) / perSecond - performance.now()));
    const one = once(number)
      .catch(() => undefined)
      .finally(() => running.delete(one));
    running.add(one);
  }
  await Promise.all(running);
}
