import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Environment } from './environment.ts';
import { VARIABLES, type Variable } from './variables.ts';

/** How often the files are compared. A change counts once two comparisons have found the same content. */
const INTERVAL_MS = 2_000;

/**
 * Watches the files that hold secrets, by their content: Kubernetes replaces a folder behind a symbolic link, and a
 * notice of the file system does not reach every mount.
 */
export class SecretFiles {
  readonly #paths: readonly string[];
  /** Digest of the files at {@link noteRead}. */
  #read: string | undefined;
  #seen: string | undefined;

  constructor(environment: Environment) {
    const variables: [string, Variable<unknown>][] = Object.entries(VARIABLES);
    this.#paths = variables.flatMap(([name, { secret }]) => (secret && environment[`${name}_FILE`]) || []);
  }

  /** Must be called before the secrets are read, so that no later change is missed. */
  async noteRead(): Promise<void> {
    this.#read = await digestOf(this.#paths);
    this.#seen = this.#read;
  }

  /** Calls `onChange` after each change. Does not keep the process alive. */
  watch(onChange: () => void): void {
    if (this.#paths.length === 0) return;
    setTimeout(async () => {
      if (await this.hasChanged()) onChange();
      this.watch(onChange);
    }, INTERVAL_MS).unref();
  }

  /** Whether the files differ from those that were read, and have stopped changing. Each change counts once. */
  async hasChanged(): Promise<boolean> {
    const now = await digestOf(this.#paths);
    const isStable = now === this.#seen;
    this.#seen = now;
    if (now === this.#read || !isStable) return false;
    this.#read = now;
    return true;
  }
}

/** A file that cannot be read counts by its error. A pipe can be read only once, so it does not count. */
async function digestOf(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    try {
      const content = (await stat(path)).isFile() ? await readFile(path) : Buffer.alloc(0);
      hash.update(`${content.length}\n`).update(content);
    } catch (error) {
      hash.update(`${error instanceof Error && 'code' in error ? error.code : error}\n`);
    }
  }
  return hash.digest('base64');
}
