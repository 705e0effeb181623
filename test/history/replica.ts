import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BrokerProcess, type StartOptions, startBroker } from '../support/broker-process.ts';
import { systemBinary } from '../support/system-binary.ts';

/** Path of the library that changes the wall clock of a process. Installs it where this user may do so. */
export function fakeTimeLibrary(): string {
  const program = systemBinary({ program: 'faketime', need: 'The clock of one replica jumps' });
  return execFileSync(program, ['-m', '-f', '+0s', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' }).trim();
}

interface ReplicaOptions {
  readonly index: number;
  readonly env: Readonly<Record<string, string>>;
  /** Folder for the file with the offset of the clock. */
  readonly folder: string;
  /** See {@link fakeTimeLibrary}. Without it, the clock stays true. */
  readonly fakeTime?: string | undefined;
}

/** A replica in a process of its own, which may die and come back, and whose wall clock may jump. */
export class Replica {
  readonly index: number;
  readonly #env: Readonly<Record<string, string>>;
  readonly #clockFile: string;
  #process: BrokerProcess | undefined;
  readonly #pastLogs: string[] = [];

  constructor({ index, env, folder, fakeTime }: ReplicaOptions) {
    this.index = index;
    this.#clockFile = join(folder, `clock-${index}`);
    // The process reads the file at each look at its clock. Its monotonic clock stays true.
    const clock = fakeTime && {
      LD_PRELOAD: fakeTime,
      FAKETIME_TIMESTAMP_FILE: this.#clockFile,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    this.#env = { ...env, ...clock };
    this.setClockAhead(0);
  }

  /** Whether it is not meant to be down. */
  get isUp(): boolean {
    return this.#process !== undefined;
  }

  /** Base URLs; `undefined` while it is down. */
  get urls(): { readonly public: string; readonly internal: string } | undefined {
    return this.#process && { public: this.#process.url, internal: this.#process.adminUrl };
  }

  /** Starts the process and waits until it lives. It need not be ready: Redis may be down. */
  async start(options?: StartOptions): Promise<void> {
    this.#process = await startBroker(this.#env, { until: '/livez', timeoutMs: 30_000, ...options });
  }

  async kill(): Promise<void> {
    const process = this.#leave();
    process?.signal('SIGKILL');
    await process?.exit;
  }

  /** Graceful shutdown. */
  async terminate(): Promise<void> {
    await this.#leave()?.stop();
  }

  freeze(): void {
    this.#process?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#process?.signal('SIGCONT');
  }

  /** @param ms negative: behind the true time */
  setClockAhead(ms: number): void {
    const next = `${this.#clockFile}.next`;
    writeFileSync(next, `${ms < 0 ? '-' : '+'}${Math.abs(ms) / 1_000}\n`);
    renameSync(next, this.#clockFile);
  }

  /** The last lines of its output, of all its processes. */
  log(): string[] {
    return [...this.#pastLogs, ...(this.#process?.log() ?? [])];
  }

  #leave(): BrokerProcess | undefined {
    const process = this.#process;
    this.#process = undefined;
    if (process) this.#pastLogs.push(...process.log());
    return process;
  }
}
