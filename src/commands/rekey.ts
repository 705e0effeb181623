import { loadStoreConfig, type RedisConfig } from '../config/config.ts';
import { ConfigError } from '../config/environment.ts';
import { Rekey, type RekeyTotals } from '../store/redis/rekey.ts';
import { systemClock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import { type CommandContext, parseFlags } from './command-line.ts';

const HELP = `sdk-token-broker rekey

Re-encrypts the tokens and directory entries in Redis with the first key of TOKEN_ENCRYPTION_KEYS. The other keys are
used to decrypt. Before you start, give every replica the new key as its first key: see docs/key-rotation.md.

It needs REDIS_URL, REDIS_KEY_PREFIX and TOKEN_ENCRYPTION_KEYS, with the same values as the replicas. The replicas may
keep running. Ctrl-C stops it; the next run continues with the rest.

Exit code 0: everything that can be decrypted is encrypted with the first key.
Exit code 1: some records still need another key, there were no records, no key decrypts any of them, Redis failed, or
the command was stopped.`;

/**
 * The `rekey` command.
 * @returns the exit code.
 * @throws UsageError, HelpRequested, ConfigError, Error when Redis fails
 */
export async function rekey(args: readonly string[], context: CommandContext): Promise<number> {
  parseFlags(args, {}, HELP);
  const config = loadStoreConfig(context.env);
  const [current] = config.encryptionKeys;
  if (!current) {
    throw new ConfigError([
      'TOKEN_ENCRYPTION_KEYS must hold at least one key: the first key encrypts, all keys decrypt',
    ]);
  }
  const stopped = new AbortController();
  // The walk stops after the current batch. A second signal has its default effect and ends the process at once.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopped.abort());
  context.out(`Re-encrypting the records in Redis at ${config.keyPrefix}:* with key ${current.id}`);
  return reencrypt(config, new RekeyReport(context.out, current.id), stopped.signal);
}

/** Walks twice if the first walk changed something: the second one shows whether a replica still uses an older key. */
async function reencrypt(config: RedisConfig, report: RekeyReport, stopped: AbortSignal): Promise<number> {
  let lastProblem: string | undefined;
  const warn = ({ reason }: { readonly reason?: string }) => {
    lastProblem = reason ?? lastProblem;
  };
  const store = new Rekey({ ...config, log: { info: () => undefined, warn } });
  try {
    const totals = await store.walk(stopped, (soFar) => report.progress('re-encrypting', soFar));
    report.totals(totals);
    if (stopped.aborted) return report.stopped();
    if (changedNothing(totals)) return report.done(totals);
    const second = await store.walk(stopped, (soFar) => report.progress('checking', soFar));
    if (stopped.aborted) return report.stopped();
    return changedNothing(second) ? report.done(second) : report.olderKeyInUse(second);
  } catch (error) {
    throw error instanceof BrokerError ? redisFailed(error, lastProblem) : error;
  } finally {
    store.close();
  }
}

function changedNothing({ resealed, changed }: RekeyTotals): boolean {
  return resealed === 0 && changed === 0;
}

function redisFailed({ cause }: BrokerError, lastProblem: string | undefined): Error {
  const reason = lastProblem ?? (cause instanceof Error ? cause.message : 'no answer');
  return new Error(`Redis failed: ${reason}. Finished records stay re-encrypted. Run rekey again to continue`);
}

/** Interval of the progress lines. */
const LINE_INTERVAL_MS = 5_000;

/** Prints the progress and the result. The methods that end the report return the exit code. */
class RekeyReport {
  readonly #line: CommandContext['out'];
  readonly #keyId: string;
  #progressAt = systemClock.now();

  constructor(out: CommandContext['out'], keyId: string) {
    this.#line = out;
    this.#keyId = keyId;
  }

  progress(activity: string, { lookedAt, resealed }: RekeyTotals): void {
    const now = systemClock.now();
    if (now - this.#progressAt < LINE_INTERVAL_MS) return;
    this.#progressAt = now;
    this.#line(`${activity}: ${format(lookedAt)} read, ${format(resealed)} re-encrypted`);
  }

  totals({ lookedAt, resealed, current, changed, unreadable }: RekeyTotals): void {
    this.#row('read', lookedAt, 'tokens and directory entries');
    this.#row('re-encrypted', resealed);
    this.#row('already current', current);
    this.#row('changed', changed, 'a replica wrote these records during the run');
    this.#row('unreadable', sumOf(unreadable), 'no key decrypts them: a token costs one login, not an error');
    for (const [reason, count] of unreadable) this.#row('', count, reason);
  }

  /**
   * An empty store is an error, and so is one that no key decrypts: a wrong address, prefix or key ring is more likely.
   */
  done({ lookedAt, unreadable }: RekeyTotals): number {
    if (lookedAt === 0) {
      this.#line('There are no records. Check that REDIS_URL and REDIS_KEY_PREFIX are the same as on the replicas.');
      return 1;
    }
    const unreadableCount = sumOf(unreadable);
    if (unreadableCount === lookedAt) {
      this.#line(
        'No key of TOKEN_ENCRYPTION_KEYS decrypts any record. Remove no key. Check that TOKEN_ENCRYPTION_KEYS, REDIS_URL ' +
          'and REDIS_KEY_PREFIX are the same as on the replicas.',
      );
      return 1;
    }
    if (unreadableCount > 0) {
      this.#line(
        `No key decrypts ${format(unreadableCount)} of the records. If you still have their key, append it to ` +
          'TOKEN_ENCRYPTION_KEYS and run rekey again, before you remove any key.',
      );
    }
    this.#line(
      'Done. No record that can be decrypted needs another key. ' +
        `If GET /status of each replica lists ${this.#keyId} first in store.encryptionKeys, you can now remove all ` +
        'other keys from TOKEN_ENCRYPTION_KEYS.',
    );
    return 0;
  }

  stopped(): number {
    this.#line('Stopped before the end. Finished records stay re-encrypted. Run rekey again to continue.');
    return 1;
  }

  olderKeyInUse({ resealed, changed }: RekeyTotals): number {
    this.#line(
      `After the run, there were ${format(resealed + changed)} more records with another key. A replica does not have ` +
        `${this.#keyId} first in TOKEN_ENCRYPTION_KEYS, or Redis has failed over or moved slots during the run. Give ` +
        'each replica that key first, by SIGHUP or a restart, then run rekey again.',
    );
    return 1;
  }

  #row(label: string, count: number, note = ''): void {
    this.#line(`  ${label.padEnd(18)}${format(count).padStart(12)}   ${count > 0 ? note : ''}`.trimEnd());
  }
}

function sumOf(unreadable: RekeyTotals['unreadable']): number {
  return [...unreadable.values()].reduce((sum, count) => sum + count, 0);
}

function format(count: number): string {
  return count.toLocaleString('en-US');
}
