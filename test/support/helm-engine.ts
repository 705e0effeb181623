import { spawnSync } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onPath, systemBinary } from './system-binary.ts';

/** A command with its arguments. `values` is the path of a file. */
export type HelmTask =
  | readonly ['lint', chart: string]
  | readonly ['package', chart: string, into: string]
  | readonly ['template' | 'notes', chart: string, release: string, namespace: string, values: string];

export interface HelmResult {
  readonly succeeded: boolean;
  /** What Helm prints, or its error message. */
  readonly text: string;
}

const FOLDER = fileURLToPath(new URL('helm-engine/', import.meta.url));
const LIBRARIES = fileURLToPath(new URL('../../node_modules/.cache/helm-engine', import.meta.url));

/**
 * Runs tasks with the real engine of Helm, which Maven Central has as a library for Java. One start of the JVM serves
 * all tasks. `lint` is strict, and `notes` gives what `helm install` prints.
 */
export function runHelm(tasks: readonly HelmTask[]): HelmResult[] {
  const java = systemBinary({
    program: 'java',
    packages: {
      'apt-get': 'default-jdk-headless',
      apk: 'openjdk21',
      dnf: 'java-latest-openjdk-devel',
      brew: 'openjdk',
    },
    need: 'The tests of the Helm chart need a JDK',
  });
  const input = tasks.map((task) => task.join('\t'));
  const { stdout, stderr, status } = spawnSync(java, ['-cp', join(libraries(), '*'), join(FOLDER, 'HelmEngine.java')], {
    input: input.join('\n'),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const results = stdout.split('\n').filter((line) => line.includes('\t'));
  if (status !== 0 || results.length !== tasks.length) throw new Error(`The engine of Helm failed: ${stderr}`);
  return results.map((line) => {
    const [outcome, text = ''] = line.split('\t');
    return { succeeded: outcome === 'ok', text: Buffer.from(text, 'base64').toString() };
  });
}

/** Maven copies the library there the first time. */
function libraries(): string {
  if (existsSync(LIBRARIES)) return LIBRARIES;
  const maven = systemBinary({
    program: 'mvn',
    packages: { 'apt-get': 'maven', apk: 'maven', dnf: 'maven', brew: 'maven' },
    need: 'The tests of the Helm chart need Maven',
  });
  // Another test may do the same at this moment, and two runs of Maven must not write to its repository at once.
  const folder = `${LIBRARIES}-${process.pid}`;
  const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.7.0:copy-dependencies';
  const command = [maven, '-q', '-B', '-f', FOLDER, goal, `-DoutputDirectory=${folder}`];
  const lock = onPath('flock');
  const [program = '', ...args] = lock ? [lock, '/tmp/helm-engine.lock', ...command] : command;
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Maven could not copy the engine of Helm: ${stdout}`);
  if (existsSync(LIBRARIES)) rmSync(folder, { recursive: true });
  else renameSync(folder, LIBRARIES);
  return LIBRARIES;
}
