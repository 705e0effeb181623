import { BrokerError } from '../token/errors.ts';
import { REGION_PATTERN, UNIQUE_ID_PATTERN } from '../token/subject.ts';

interface Rule {
  readonly pattern: RegExp;
  readonly allowed: string;
}

export interface SdkTokenQuery {
  readonly uniqueId?: string;
  readonly app?: string;
  readonly regRegion?: string;
}

export const SDK_TOKEN_RULES = {
  uniqueId: { pattern: UNIQUE_ID_PATTERN, allowed: '1 to 128 visible ASCII characters' },
  app: { pattern: /^[A-Za-z0-9._-]{1,64}$/, allowed: '1 to 64 of the characters A-Z a-z 0-9 . _ -' },
  regRegion: { pattern: REGION_PATTERN, allowed: 'a country of ISO 3166-1 alpha-2, two letters in upper case' },
} as const satisfies Record<keyof SdkTokenQuery, Rule>;

/**
 * A check of a query that may hold these parameters, each of them once. By hand, since it is on the hot path; a test
 * holds it to the schemas it is documented by. It throws BrokerError `request_invalid` with the parameter and what is
 * allowed, never its value.
 */
export function queryCheck<Name extends keyof SdkTokenQuery>(
  ...names: readonly Name[]
): (query: unknown) => Pick<SdkTokenQuery, Name> {
  const rules: ReadonlyMap<string, Rule> = new Map(names.map((name) => [name, SDK_TOKEN_RULES[name]]));
  const allowed = names.length === 0 ? 'none is allowed' : `allowed are ${names.join(', ')}`;
  return (query) => {
    const sent = query as Readonly<Record<string, unknown>>;
    for (const name of Object.keys(sent)) {
      const rule = rules.get(name);
      if (rule === undefined) throw invalid(`Unknown query parameter; ${allowed}`);
      const value = sent[name];
      if (Array.isArray(value)) throw invalid(`${name} may be given once`);
      if (typeof value !== 'string' || !rule.pattern.test(value)) throw invalid(`${name} must be ${rule.allowed}`);
    }
    return sent as Pick<SdkTokenQuery, Name>;
  };
}

function invalid(detail: string): BrokerError {
  return new BrokerError('request_invalid', { detail });
}
