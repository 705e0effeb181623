import { readFileSync } from 'node:fs';
import {
  LONGEST_BACKGROUND_WAIT_MS,
  LONGEST_RETURNING_WAIT_MS,
  LONGEST_WAIT_MS,
  RETURNING_SHARE,
  YIELDING_SHARE,
} from '../../token/login-queue.ts';
import { coolDownMs, FAILURE_MEMORY_MS, LEASE_MS, MAX_COOL_DOWN_MS } from '../../token/renewal-timing.ts';
import { DIGEST_LENGTH } from '../../token/subject.ts';
import type { RedisClient } from './connection/clients.ts';
import { ACCOUNT_FIELDS, HEADER_LENGTH, MAX_LEAD_MS, MAX_STORED_BYTES } from './records/record-codec.ts';
import type { SealedField } from './records/token-cipher.ts';

/** One file each in scripts/, with its keys, arguments and result. Each script is one atomic step. */
const NAMES = [
  'acquire',
  'extend',
  'save',
  'saveAccessId',
  'release',
  'markRead',
  'remove',
  'endSessions',
  'forgetDirectory',
  'resealField',
  'claimDue',
  'outlook',
  'endsOf',
  'take',
  'giveBack',
  'reserve',
  'nextPlace',
  'beat',
  'leave',
  'leftByOthers',
  'probe',
] as const;

export type ScriptName = (typeof NAMES)[number];

/** A generation, an owner or a former value protects what is newer from these scripts. So they may arrive late. */
export const FENCED: ReadonlySet<ScriptName> = new Set(['save', 'saveAccessId', 'release', 'extend', 'resealField']);

/** The constants that the scripts use and TypeScript defines. */
const CONSTANTS = {
  DIGEST_LENGTH,
  HEADER_LENGTH,
  MAX_LEAD_MS,
  MAX_STORED_BYTES,
  FIELD_REGION: ACCOUNT_FIELDS.region,
  FIELD_DIRECTORY: ACCOUNT_FIELDS.directory,
  FIELD_ERASED_AT: ACCOUNT_FIELDS.erasedAt,
  FIELD_LOGGED_OUT_AT: ACCOUNT_FIELDS.loggedOutAt,
  /** After one failure, two, and so on. The last entry holds for more failures too. */
  COOL_DOWNS_MS: Array.from({ length: 8 }, (_, index) => coolDownMs(index + 1)),
  FAILURE_MEMORY_MS,
  /** No replica takes a lease for that long. Twice the duration leaves room for a later version with another one. */
  LONGEST_LEASE_MS: 2 * LEASE_MS,
  MAX_COOL_DOWN_MS,
  LONGEST_WAIT_MS,
  LONGEST_RETURNING_WAIT_MS,
  LONGEST_BACKGROUND_WAIT_MS,
  YIELDING_SHARE,
  RETURNING_SHARE,
  /** The stream of changes keeps this many. A replica compares the last change that it knows of once a second. */
  MAX_CHANGES: 256,
  MAX_REPLICAS: 200,
  MAX_SUMMARY_BYTES: 4_096,
  SUMMARIES_MS: 3_600_000,
};

const PRELUDE = Object.entries(CONSTANTS)
  .map(([name, value]) => `local ${name} = ${inLua(value)}\n`)
  .join('')
  .concat(readScript('prelude'));

/** The scripts as ioredis takes them. */
export const LUA_SCRIPTS = Object.fromEntries(
  NAMES.map((name) => [name, { lua: PRELUDE + readScript(name) }]),
) as Record<ScriptName, { readonly lua: string }>;

/** The build copies the folder to the bundle, so that it lies beside the code there too. */
function readScript(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
}

function inLua(value: number | string | readonly number[]): string {
  if (typeof value === 'string') return `'${value}'`;
  return typeof value === 'number' ? String(value) : `{${value.join(', ')}}`;
}

export type ScriptCall = [name: ScriptName, keys: readonly string[], args: readonly (string | number | Buffer)[]];

/** Puts `resealed` in the place of the sealed text, and returns 1, unless the field has changed. */
export function resealScript({ key, field, headLength, sealed }: SealedField, resealed: Buffer): ScriptCall {
  return ['resealField', [key], [field, headLength, sealed, resealed]];
}

type Script = (...args: (string | number | Buffer)[]) => Promise<unknown>;

/** Strings in the result are buffers. @param deadline epoch ms, when Redis begins to refuse the script; '' for none */
export async function runScript(
  redis: RedisClient,
  [name, keys, args]: ScriptCall,
  deadline: number | '' = '',
): Promise<unknown> {
  const scripts = redis as unknown as Record<`${ScriptName}Buffer`, Script>;
  return scripts[`${name}Buffer`](keys.length, ...keys, ...args, deadline);
}
