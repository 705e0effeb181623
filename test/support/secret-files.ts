import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BrokerProcess } from './broker-process.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { type Fleet, type FleetOptions, startFleet } from './fleet.ts';
import { newFolder } from './new-folder.ts';

/** Secrets by the name of their setting. */
export type Secrets = Readonly<Record<string, string>>;

/** The line that a replica logs once it has read the secrets again. */
interface ReloadLine {
  readonly level: string;
  readonly msg: string;
  readonly changed?: readonly string[];
  readonly problems?: readonly string[];
}

export interface FleetWithSecretFiles extends Fleet {
  /** Replaces the files of these secrets, then sends SIGHUP to each replica in turn, and waits for its log line. */
  reload(changes: Secrets): Promise<ReloadLine[]>;
}

/** Starts replicas that read `secrets` from files. They end with the test. */
export async function startWithSecretFiles(secrets: Secrets, options: FleetOptions): Promise<FleetWithSecretFiles> {
  const folder = newFolder();
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
  const linesOf = (broker: BrokerProcess): ReloadLine[] =>
    broker
      .log()
      .flatMap((line) => (/: the (secrets were read again|old secrets stay)/.test(line) ? JSON.parse(line) : []));
  return {
    ...fleet,
    async reload(changes) {
      const before = fleet.brokers.map((broker) => linesOf(broker).length);
      await write(changes);
      const lines: ReloadLine[] = [];
      for (const [number, broker] of fleet.brokers.entries()) {
        const since = () => linesOf(broker).slice(before[number]);
        broker.signal('SIGHUP');
        await eventually(() => since().some(({ msg }) => msg.startsWith('SIGHUP')));
        // A slow replica may have noticed the change of the files before the signal.
        lines.push(since().find(({ changed }) => changed?.length !== 0) ?? (since()[0] as ReloadLine));
      }
      return lines;
    },
    close: endWithTest(async () => {
      await fleet.close();
    }),
  };
}

export interface KubernetesVolume {
  /** The path that a container sees: a symbolic link into `..data`. */
  path(name: string): string;
  /** Replaces all files at once, as the kubelet does: a new folder, then `..data` points to it. */
  replace(secrets: Secrets): void;
}

/** Lays out a folder as the kubelet lays out the volume of a Secret. */
export function kubernetesVolume(folder: string, secrets: Secrets): KubernetesVolume {
  let version = 0;
  const fill = (files: Secrets) => {
    const former = join(folder, `..${version}`);
    version += 1;
    mkdirSync(join(folder, `..${version}`));
    for (const [name, value] of Object.entries(files)) writeFileSync(join(folder, `..${version}`, name), value);
    symlinkSync(`..${version}`, join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    rmSync(former, { recursive: true, force: true });
  };
  fill(secrets);
  for (const name of Object.keys(secrets)) symlinkSync(join('..data', name), join(folder, name));
  return { path: (name) => join(folder, name), replace: fill };
}
