import { BrokerError } from '../token/errors.ts';
import { REGION_PATTERN, UNIQUE_ID_PATTERN } from '../token/subject.ts';

interface Rule {
  readonly pattern: RegExp;
  readonly allowed: string;
}

export interface SdkTokenQuery {
  readonly uniqueId: string;
  readonly app?: string;
  readonly regRegion?: string;
}

export const SDK_TOKEN_RULES = {
  uniqueId: { pattern: UNIQUE_ID_PATTERN, allowed: '1 to 128 visible ASCII characters' },
  app: { pattern: /^[A-Za-z0-9._-]{1,64}$/, allowed: '1 to 64 of the characters A-Z a-z 0-9 . _ -' },
  regRegion: { pattern: REGION_PATTERN, allowed: 'a country of ISO 3166-1 alpha-2, two letters in upper case' },
} as const satisfies Record<keyof SdkTokenQuery, Rule>;

const RULES: ReadonlyMap<string, Rule> = new Map(Object.entries(SDK_TOKEN_RULES));

/**
 * Checks the query of /sdk-token by hand, since it is on the hot path; a test holds it to the schema it is documented by.
 * @throws BrokerError `request_invalid` with the parameter and what is allowed, never its value
 */
export function checkSdkTokenQuery(query: Readonly<Record<string, unknown>>): SdkTokenQuery {
  for (const name of Object.keys(query)) {
    const rule = RULES.get(name);
    if (rule === undefined) throw invalid(`Unknown query parameter; allowed are ${[...RULES.keys()].join(', ')}`);
    const value = query[name];
    if (Array.isArray(value)) throw invalid(`${name} may be given once`);
    if (typeof value !== 'string' || !rule.pattern.test(value)) throw invalid(`${name} must be ${rule.allowed}`);
  }
  if (query['uniqueId'] === undefined) throw invalid(`uniqueId is required: ${SDK_TOKEN_RULES.uniqueId.allowed}`);
  return query as unknown as SdkTokenQuery;
}

function invalid(detail: string): BrokerError {
  return new BrokerError('request_invalid', { detail });
}
