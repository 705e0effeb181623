import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BrokerProcess } from './broker-process.ts';
import { eventually } from './eventually.ts';
import { type Fleet, type FleetOptions, startFleet } from './fleet.ts';

/** Secrets by the name of their setting. */
export type Secrets = Readonly<Record<string, string>>;

/** The line that a replica logs after SIGHUP. */
export interface ReloadLine {
  readonly level: string;
  readonly changed?: readonly string[];
  readonly problems?: readonly string[];
}

export interface FleetWithSecretFiles extends Fleet {
  /** Replaces the files of these secrets, then sends SIGHUP to each replica in turn, and waits for its log line. */
  reload(changes: Secrets): Promise<ReloadLine[]>;
}

/** Starts replicas that read `secrets` from files. The test closes them at its end. */
export async function startWithSecretFiles(secrets: Secrets, options: FleetOptions): Promise<FleetWithSecretFiles> {
  const folder = await mkdtemp(join(tmpdir(), 'secret-files-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const write = async (changes: Secrets) => {
    for (const [name, value] of Object.entries(changes)) {
      await writeFile(join(folder, `${name}.new`), `${value}\n`);
      await rename(join(folder, `${name}.new`), join(folder, name));
    }
  };
  await write(secrets);
  const files = Object.keys(secrets).flatMap((name) => [
    [name, ''],
    [`${name}_FILE`, join(folder, name)],
  ]);
  const fleet = await startFleet({ ...options, env: { ...options.env, ...Object.fromEntries(files) } });
  onTestFinished(() => fleet.close());
  const linesOf = (broker: BrokerProcess) => broker.log().filter((line) => line.includes('SIGHUP'));
  return {
    ...fleet,
    async reload(changes) {
      await write(changes);
      const lines: ReloadLine[] = [];
      for (const broker of fleet.brokers) {
        const before = linesOf(broker).length;
        broker.signal('SIGHUP');
        await eventually(() => linesOf(broker).length > before);
        lines.push(JSON.parse(linesOf(broker).at(-1) ?? ''));
      }
      return lines;
    },
  };
}
