import { BrokerError } from '../token/errors.ts';
import { REGION_PATTERN, type Subject, UNION_ID_MAX_LENGTH, UNIQUE_ID_PATTERN } from '../token/subject.ts';

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

/** `single`: an account is one terminal, whatever an app says of the phone it runs on. */
export type TerminalPolicy = 'multi' | 'single';

export interface SubjectRules {
  /** Names of the configured apps, at least one. */
  readonly apps: readonly string[];
  readonly terminalPolicy: TerminalPolicy;
}

interface Account {
  readonly unionId: string;
  /** The app its session is bound to. */
  readonly app: string | undefined;
}

/**
 * Whose token is asked for. The app is the session's, else the one asked for, else the only one.
 * @throws BrokerError `session_forbidden` where the session is bound to another app, `request_invalid`
 */
export function requestedSubject(
  { apps, terminalPolicy }: SubjectRules,
  account: Account,
  asked: { readonly app?: string; readonly uniqueId?: string },
): Subject {
  const { unionId } = account;
  const uniqueId = terminalPolicy === 'single' ? unionId : asked.uniqueId;
  if (uniqueId === undefined) {
    throw new BrokerError('request_invalid', { detail: `uniqueId is required: ${SDK_TOKEN_RULES.uniqueId.allowed}` });
  }
  return { app: requestedApp(apps, account.app, asked.app), unionId, uniqueId };
}

function requestedApp(apps: readonly string[], bound: string | undefined, asked: string | undefined): string {
  if (bound !== undefined) {
    if (asked !== undefined && asked !== bound) {
      throw new BrokerError('session_forbidden', {
        detail: 'The session is bound to another app than the one asked for',
      });
    }
    if (!apps.includes(bound)) {
      throw new BrokerError('session_forbidden', { detail: 'The session is bound to an app that is not configured' });
    }
    return bound;
  }
  const app = asked ?? (apps.length === 1 ? apps[0] : undefined);
  if (app === undefined || !apps.includes(app)) {
    throw new BrokerError('request_invalid', { detail: `app must be one of: ${apps.join(', ')}` });
  }
  return app;
}

export interface AccountPath {
  readonly unionId: string;
}

export interface TerminalPath extends AccountPath {
  readonly uniqueId: string;
}

export const PATH_RULES = {
  unionId: `1 to ${UNION_ID_MAX_LENGTH} Unicode characters, percent-encoded as UTF-8`,
  uniqueId: '1 to 128 visible ASCII characters, percent-encoded',
} as const;

/** @throws BrokerError `request_invalid` */
export function checkAccountPath({ unionId }: AccountPath): string {
  const length = [...unionId].length;
  if (length >= 1 && length <= UNION_ID_MAX_LENGTH && unionId.isWellFormed()) return unionId;
  throw new BrokerError('request_invalid', { detail: `The unionId in the path must be ${PATH_RULES.unionId}` });
}

/** @throws BrokerError `request_invalid` */
export function checkTerminalPath(path: TerminalPath, policy: TerminalPolicy): TerminalPath {
  const unionId = checkAccountPath(path);
  const { uniqueId } = path;
  // Under that policy it is how the account's one terminal is listed.
  const named = policy === 'single' && uniqueId === unionId;
  if (named || UNIQUE_ID_PATTERN.test(uniqueId)) return { unionId, uniqueId };
  throw new BrokerError('request_invalid', { detail: `The uniqueId in the path must be ${PATH_RULES.uniqueId}` });
}
