import { loadStoreConfig, type RedisConfig } from '../config/config.ts';
import { ConfigError } from '../config/environment.ts';
import { Rekey, type RekeyTotals } from '../store/redis/rekey.ts';
import { BrokerError } from '../token/errors.ts';
import { RekeyScreen } from './rekey-screen.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

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
