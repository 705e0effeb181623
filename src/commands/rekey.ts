import { loadStoreConfig, type RedisConfig } from '../config/config.ts';
import { ConfigError } from '../config/environment.ts';
import { Rekey, type RekeyTotals } from '../store/redis/rekey.ts';
import { systemClock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import { type Terminal, UsageError } from './terminal.ts';

/** How far along something is. @param done from 0 to 1 */
export function progressBar(done: number, width: number): string {
  const filled = Math.round(Math.min(1, done) * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}

const BAR_WIDTH = 20;
const REDRAW_MS = 100;
/** Where nobody watches, a line now and then. */
const LINE_MS = 5_000;

/** What `rekey` has to say. */
class RekeyScreen {
  readonly #terminal: Terminal;
  readonly #keyPrefix: string;
  readonly #keyId: string;
  #saidAt = systemClock.now();

  constructor(terminal: Terminal, keyPrefix: string, keyId: string) {
    this.#terminal = terminal;
    this.#keyPrefix = keyPrefix;
    this.#keyId = keyId;
  }

  begin(): void {
    this.#terminal.out(`Re-encrypting what lies in Redis at ${this.#keyPrefix}:* under key ${this.#keyId}`);
  }

  progress(doing: string, share: number, { lookedAt, resealed }: RekeyTotals): void {
    const { out, redraw } = this.#terminal;
    const now = systemClock.now();
    if (now - this.#saidAt < (redraw ? REDRAW_MS : LINE_MS)) return;
    this.#saidAt = now;
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    const rest = `${percent}  ${number(lookedAt)} looked at, ${number(resealed)} re-encrypted`;
    if (redraw) redraw(`${doing.padEnd(13)} ${progressBar(share, BAR_WIDTH)}${rest}`);
    else out(`${doing.padEnd(13)}${rest}`);
  }

  totals({ lookedAt, resealed, current, changed, unreadable }: RekeyTotals): void {
    const lost = [...unreadable.values()].reduce((sum, count) => sum + count, 0);
    this.#row('looked at', lookedAt, 'tokens and directory entries');
    this.#row('re-encrypted', resealed);
    this.#row('already current', current);
    this.#row('changed meanwhile', changed, 'by a replica, which sealed them itself');
    this.#row('unreadable', lost, 'no key opens them: a token costs one login, not an error');
    for (const [why, count] of unreadable) this.#row('', count, why);
  }

  /** @param lookedAt how much there was. Nothing at all is more likely a wrong address than a store without tokens */
  done(lookedAt: number): number {
    if (lookedAt === 0) {
      this.#say('Nothing lies there: is REDIS_KEY_PREFIX what the replicas have, and REDIS_URL?');
      return 1;
    }
    this.#say(
      `Nothing that can be opened is left under another key: ` +
        `from TOKEN_ENCRYPTION_KEYS all but ${this.#keyId} may go.`,
    );
    return 0;
  }

  interrupted(): number {
    this.#say('Stopped before the end. What is re-encrypted stays so: run rekey again to go on.');
    return 1;
  }

  stillWritten({ resealed, changed }: RekeyTotals): number {
    this.#say(
      `While this ran, ${number(resealed + changed)} more were sealed under another key: some replica does not have ` +
        `${this.#keyId} first in TOKEN_ENCRYPTION_KEYS yet. Restart it with that, then run rekey again.`,
    );
    return 1;
  }

  #row(label: string, count: number, note = ''): void {
    this.#say(`  ${label.padEnd(18)}${number(count).padStart(12)}   ${count > 0 ? note : ''}`.trimEnd());
  }

  /** Over the progress bar, if there is one. */
  #say(line: string): void {
    this.#terminal.redraw?.('');
    this.#terminal.out(line);
  }
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}

const HELP = `sdk-token-broker rekey

Re-encrypts what lies in Redis under the first key of TOKEN_ENCRYPTION_KEYS; the others open what they sealed. Needs
REDIS_URL, REDIS_KEY_PREFIX and TOKEN_ENCRYPTION_KEYS, as the replicas have them, and may run beside them. Start it when
every replica has the new key first: docs/key-rotation.md. Ctrl-C stops it; run again, it goes on with what is left.
Exit code 0: nothing is left under another key that could be opened; 1: something is, or there was nothing at all, or it
was stopped.`;

/** The `rekey` command. @returns the exit code. @throws UsageError, ConfigError, Error when Redis cannot be reached */
export async function rekey(args: readonly string[], terminal: Terminal): Promise<number> {
  const [flag, ...more] = args;
  if (more.length > 0 || (flag !== undefined && flag !== '--help' && flag !== '-h')) {
    throw new UsageError(`rekey takes no arguments: it is configured by the environment\n\n${HELP}`);
  }
  if (flag) {
    terminal.out(HELP);
    return 0;
  }
  const config = loadStoreConfig(terminal.env);
  const [current] = config.encryptionKeys;
  if (!current) {
    throw new ConfigError([
      'TOKEN_ENCRYPTION_KEYS must hold the key to encrypt under, first, and those to open with: there is none',
    ]);
  }
  const ended = new AbortController();
  // The walk notices between two batches; who cannot wait for that sends a second one.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => ended.abort());
  return walk(config, new RekeyScreen(terminal, config.keyPrefix, current.id), ended.signal);
}

/** Walks until a walk finds nothing to do: the second shows whether a replica still seals under an older key. */
async function walk(config: RedisConfig, screen: RekeyScreen, ended: AbortSignal): Promise<number> {
  let trouble: string | undefined;
  const note = (fields: { readonly reason?: string }) => {
    trouble = fields.reason ?? trouble;
  };
  const store = new Rekey({ ...config, log: { info: () => undefined, warn: note } });
  try {
    screen.begin();
    const totals = await store.walk(ended, (share, soFar) => screen.progress('re-encrypting', share, soFar));
    screen.totals(totals);
    if (ended.aborted) return screen.interrupted();
    if (isClean(totals)) return screen.done(totals.lookedAt);
    const again = await store.walk(ended, (share, soFar) => screen.progress('checking', share, soFar));
    if (ended.aborted) return screen.interrupted();
    return isClean(again) ? screen.done(again.lookedAt) : screen.stillWritten(again);
  } catch (error) {
    throw error instanceof BrokerError ? gaveUp(error, trouble) : error;
  } finally {
    store.close();
  }
}

function isClean({ resealed, changed }: RekeyTotals): boolean {
  return resealed === 0 && changed === 0;
}

function gaveUp({ cause }: BrokerError, trouble: string | undefined): Error {
  const reason = trouble ?? (cause instanceof Error ? cause.message : 'no answer');
  return new Error(`Redis did not let us go on: ${reason}. What is re-encrypted stays so: run rekey again`);
}
