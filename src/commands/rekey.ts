import { loadStoreConfig, type RedisConfig } from '../config/config.ts';
import { ConfigError } from '../config/environment.ts';
import { Rekey, type RekeyTotals } from '../store/redis/rekey.ts';
import { systemClock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import { type Text, untranslated } from '../token/text.ts';
import { type CommandContext, columnsOf, LANG_OPTION, languageOf, parseFlags } from './command-line.ts';

const HELP: Text = {
  en: `sdk-token-broker rekey [--lang en|zh]

Re-encrypts the tokens and directory entries in Redis with the first key of TOKEN_ENCRYPTION_KEYS. The other keys are
used to decrypt. Before you start, give every replica the new key as its first key: see docs/key-rotation.md.

It needs REDIS_URL, REDIS_KEY_PREFIX and TOKEN_ENCRYPTION_KEYS, with the same values as the replicas. The replicas may
keep running. Ctrl-C stops it; the next run continues with the rest.

Exit code 0: everything that can be decrypted is encrypted with the first key.
Exit code 1: some records still need another key, there were no records, no key decrypts any of them, Redis failed, or
the command was stopped.`,
  zh: `sdk-token-broker rekey [--lang en|zh]

用 TOKEN_ENCRYPTION_KEYS 的第一个密钥，重新加密 Redis 中的令牌和目录项。其他密钥用于解密。运行之前，
请让每个副本都以新密钥为第一个密钥：见 docs/zh/key-rotation.md。

需要 REDIS_URL、REDIS_KEY_PREFIX 和 TOKEN_ENCRYPTION_KEYS，取值与副本相同。副本可以继续运行。
按 Ctrl-C 停止，下次运行会继续处理剩余的记录。

退出码 0：所有能解密的记录都已用第一个密钥加密。
退出码 1：仍有记录需要其他密钥，或没有记录，或没有密钥能解密任何记录，或 Redis 失败，或命令被停止。`,
};

/** @returns the exit code @throws UsageError, HelpRequested, ConfigError, Error when Redis fails */
export async function rekey(args: readonly string[], context: CommandContext): Promise<number> {
  const language = languageOf(args, context.env);
  parseFlags(args, LANG_OPTION, HELP[language]);
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
  const say = (text: Text) => context.out(text[language]);
  say({
    en: `Re-encrypting the records in Redis at ${config.keyPrefix}:* with key ${current.id}`,
    zh: `正在用密钥 ${current.id} 重新加密 Redis 中 ${config.keyPrefix}:* 的记录`,
  });
  return reencrypt(config, new RekeyReport(say, current.id), stopped.signal);
}

/** Walks twice if the first walk changed something: the second one shows whether a replica still uses an older key. */
async function reencrypt(config: RedisConfig, report: RekeyReport, stopped: AbortSignal): Promise<number> {
  let lastProblem: string | undefined;
  const warn = ({ reason }: { readonly reason?: string }) => {
    lastProblem = reason ?? lastProblem;
  };
  const store = new Rekey({ ...config, log: { info: () => undefined, warn } });
  try {
    const totals = await store.walk(stopped, (soFar) =>
      report.progress({ en: 're-encrypting', zh: '重新加密' }, soFar),
    );
    report.totals(totals);
    if (stopped.aborted) return report.stopped();
    if (changedNothing(totals)) return report.done(totals);
    const second = await store.walk(stopped, (soFar) => report.progress({ en: 'checking', zh: '检查' }, soFar));
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

const NOTHING: Text = { en: '', zh: '' };

/** Prints the progress and the result. The methods that end the report return the exit code. */
class RekeyReport {
  readonly #say: (text: Text) => void;
  readonly #keyId: string;
  #progressAt = systemClock.now();

  constructor(say: (text: Text) => void, keyId: string) {
    this.#say = say;
    this.#keyId = keyId;
  }

  progress(activity: Text, { lookedAt, resealed }: RekeyTotals): void {
    const now = systemClock.now();
    if (now - this.#progressAt < LINE_INTERVAL_MS) return;
    this.#progressAt = now;
    this.#say({
      en: `${activity.en}: ${format(lookedAt)} read, ${format(resealed)} re-encrypted`,
      zh: `${activity.zh}：已读取 ${format(lookedAt)}，已重新加密 ${format(resealed)}`,
    });
  }

  totals({ lookedAt, resealed, current, changed, unreadable }: RekeyTotals): void {
    this.#row({ en: 'read', zh: '已读取' }, lookedAt, { en: 'tokens and directory entries', zh: '令牌和目录项' });
    this.#row({ en: 're-encrypted', zh: '已重新加密' }, resealed);
    this.#row({ en: 'already current', zh: '已是当前密钥' }, current);
    const written = { en: 'a replica wrote these records during the run', zh: '运行期间由副本写入的记录' };
    this.#row({ en: 'changed', zh: '已变化' }, changed, written);
    this.#row({ en: 'unreadable', zh: '无法解密' }, sumOf(unreadable), {
      en: 'no key decrypts them: a token costs one login, not an error',
      zh: '没有密钥能解密：一个令牌只多一次登录，不会报错',
    });
    for (const [reason, count] of unreadable) this.#row(NOTHING, count, untranslated(reason));
  }

  /** Without records, or with none that a key decrypts, it fails: a wrong address, prefix or key ring is likely. */
  done({ lookedAt, unreadable }: RekeyTotals): number {
    if (lookedAt === 0) {
      this.#say({
        en: 'There are no records. Check that REDIS_URL and REDIS_KEY_PREFIX are the same as on the replicas.',
        zh: '没有任何记录。请确认 REDIS_URL 和 REDIS_KEY_PREFIX 与副本相同。',
      });
      return 1;
    }
    const unreadableCount = sumOf(unreadable);
    if (unreadableCount === lookedAt) {
      this.#say({
        en: 'No key of TOKEN_ENCRYPTION_KEYS decrypts any record. Remove no key. Check that TOKEN_ENCRYPTION_KEYS, REDIS_URL and REDIS_KEY_PREFIX are the same as on the replicas.',
        zh: 'TOKEN_ENCRYPTION_KEYS 中没有密钥能解密任何记录。不要移除任何密钥。请确认 TOKEN_ENCRYPTION_KEYS、REDIS_URL 和 REDIS_KEY_PREFIX 与副本相同。',
      });
      return 1;
    }
    if (unreadableCount > 0) {
      this.#say({
        en: `No key decrypts ${format(unreadableCount)} of the records. If you still have their key, append it to TOKEN_ENCRYPTION_KEYS and run rekey again, before you remove any key.`,
        zh: `有 ${format(unreadableCount)} 条记录没有密钥能解密。如果你仍有它们的密钥，请把它加到 TOKEN_ENCRYPTION_KEYS 的末尾，再运行一次 rekey，之后才移除密钥。`,
      });
    }
    this.#say({
      en: `Done. No record that can be decrypted needs another key. If GET /status of each replica lists ${this.#keyId} first in store.encryptionKeys, you can now remove all other keys from TOKEN_ENCRYPTION_KEYS.`,
      zh: `完成。能解密的记录都不再需要其他密钥。如果每个副本的 GET /status 都在 store.encryptionKeys 的首位列出 ${this.#keyId}，现在可以从 TOKEN_ENCRYPTION_KEYS 中移除其他所有密钥。`,
    });
    return 0;
  }

  stopped(): number {
    this.#say({
      en: 'Stopped before the end. Finished records stay re-encrypted. Run rekey again to continue.',
      zh: '未完成即停止。已处理的记录保持新的加密。再次运行 rekey 即可继续。',
    });
    return 1;
  }

  olderKeyInUse({ resealed, changed }: RekeyTotals): number {
    const count = format(resealed + changed);
    this.#say({
      en: `After the run, there were ${count} more records with another key. A replica does not have ${this.#keyId} first in TOKEN_ENCRYPTION_KEYS, or Redis has failed over or moved slots during the run. Give each replica that key first, by SIGHUP or a restart, then run rekey again.`,
      zh: `运行之后，又有 ${count} 条记录使用其他密钥。可能有副本的 TOKEN_ENCRYPTION_KEYS 没有把 ${this.#keyId} 放在首位，也可能 Redis 在运行期间发生了故障转移或槽位迁移。请用 SIGHUP 或重启让每个副本都以该密钥为首，然后再运行一次 rekey。`,
    });
    return 1;
  }

  #row(label: Text, count: number, note = NOTHING): void {
    const row = (name: string, remark: string) =>
      `  ${name}${' '.repeat(18 - columnsOf(name))}${format(count).padStart(12)}   ${count > 0 ? remark : ''}`.trimEnd();
    this.#say({ en: row(label.en, note.en), zh: row(label.zh, note.zh) });
  }
}

function sumOf(unreadable: RekeyTotals['unreadable']): number {
  return [...unreadable.values()].reduce((sum, count) => sum + count, 0);
}

function format(count: number): string {
  return count.toLocaleString('en-US');
}
