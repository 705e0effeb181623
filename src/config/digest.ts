import { createHash, createHmac } from 'node:crypto';
import { VARIABLES, type Values, type Variable, type VariableName } from './variables.ts';

/** They may differ between replicas with the same configuration: each may name its pod and its node in its traces. */
const OWN = /^(HOST|PORT|ADMIN_HOST|ADMIN_PORT|LOG_LEVEL|OTEL_.*)$/;
const LENGTH = 12;

/**
 * A digest of the settings, for comparing replicas. It is shown, so nobody may find a secret by trying guesses. Therefore
 * secrets count only if there are encryption keys: these have 256 random bits, and the digest is an HMAC under all of
 * them. Without them, the digest is of the other settings alone.
 */
export function configurationDigest(values: Values): string {
  const { TOKEN_ENCRYPTION_KEYS: keys = 'off' } = values;
  const counted = (Object.keys(VARIABLES) as VariableName[]).filter(
    (name) => !OWN.test(name) && (keys !== 'off' || !mayHoldSecret(VARIABLES[name])),
  );
  const text = JSON.stringify(
    counted.map((name) => [name, values[name]]),
    asJson,
  );
  const hash =
    keys === 'off'
      ? createHash('sha256')
      : createHmac('sha256', Buffer.concat([Buffer.from('configuration'), ...keys.map(({ key }) => key)]));
  return hash.update(text).digest('hex').slice(0, LENGTH);
}

/** A URL may contain a password. */
function mayHoldSecret({ secret, isUrl }: Variable<unknown>): boolean {
  return secret === true || isUrl === true;
}

function asJson(_name: string, value: unknown): unknown {
  return value instanceof RegExp ? value.source : value instanceof Map || value instanceof Set ? [...value] : value;
}
