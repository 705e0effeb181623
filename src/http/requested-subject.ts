import * as z from 'zod';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import {
  APP_NAME_PATTERN,
  ASSIGNED_REGION_PATTERN,
  isUnionId,
  type Subject,
  UNION_ID_MAX_LENGTH,
  UNIQUE_ID_PATTERN,
  UNIQUE_ID_RULE,
} from '../token/subject.ts';
import { queryParameter } from './server/validation.ts';

const APP = '1 to 64 of the characters A-Z a-z 0-9 . _ -';
const REGION = 'an assigned country code of ISO 3166-1 alpha-2, two letters in upper case';
const UNION_ID = `1 to ${UNION_ID_MAX_LENGTH} Unicode characters, and not . or .. alone, percent-encoded as UTF-8`;

/** The query parameters that name a terminal and its country. */
export const TERMINAL_PARAMETERS = {
  uniqueId: queryParameter(
    UNIQUE_ID_PATTERN,
    UNIQUE_ID_RULE,
    'The terminal (phone). With `TERMINAL_POLICY=single` an account has one terminal: the broker ignores this value, and it may be left out.',
  ),
  app: queryParameter(
    APP_NAME_PATTERN,
    APP,
    'The app, for example `ios`. May be left out if there is only one, or if the session names one.',
  ),
  regRegion: queryParameter(
    ASSIGNED_REGION_PATTERN,
    REGION,
    "The account's country, if neither the account nor its session has one.",
  ),
};

/** The path parameters of an account. */
export const accountPath = z.strictObject({
  unionId: z
    .string()
    .refine(isUnionId, { error: `must be ${UNION_ID}` })
    .meta({ description: `The account: ${UNION_ID}.` }),
});

/** With policy `single`, the unionId is also valid as uniqueId: the account lists it so. */
export function terminalPath(policy: TerminalPolicy) {
  const allowed = `${UNIQUE_ID_RULE} (percent-encoded)`;
  const uniqueId = z.string().meta({ description: `The terminal (phone): ${allowed}.` });
  return accountPath
    .extend({ uniqueId })
    .refine(
      ({ unionId, uniqueId }) => UNIQUE_ID_PATTERN.test(uniqueId) || (policy === 'single' && uniqueId === unionId),
      { path: ['uniqueId'], error: `must be ${allowed}` },
    );
}

/** `single`: an account has one terminal, whatever uniqueId the app sends. */
export type TerminalPolicy = 'multi' | 'single';

export interface SubjectRules {
  /** The names of the configured apps, at least one. */
  readonly apps: readonly string[];
  readonly terminalPolicy: TerminalPolicy;
}

/** The parameters of a request that name a subject. */
interface Requested {
  readonly app?: string | undefined;
  readonly uniqueId?: string | undefined;
}

/**
 * The subject that a request names. Its app is the session's app, else the app of the request, else the only app.
 * @throws BrokerError `session_forbidden` if the session is bound to another app, `request_invalid`
 */
export function requestedSubject(
  rules: SubjectRules,
  { unionId, app }: Pick<Principal, 'unionId' | 'app'>,
  requested: Requested,
): Subject {
  const uniqueId = rules.terminalPolicy === 'single' ? unionId : requested.uniqueId;
  if (uniqueId === undefined) {
    throw new BrokerError('request_invalid', { detail: `uniqueId is required: ${UNIQUE_ID_RULE}` });
  }
  return { app: requestedApp(rules.apps, app, requested.app), unionId, uniqueId };
}

/** @param bound the app of the session. @throws BrokerError `session_forbidden` if no app has this name */
export function requireConfiguredApp(apps: SubjectRules['apps'], bound: string): void {
  if (!apps.includes(bound)) {
    throw new BrokerError('session_forbidden', { detail: SESSION_REASONS.unknownApp });
  }
}

function requestedApp(apps: readonly string[], bound: string | undefined, requested: string | undefined): string {
  if (bound !== undefined) {
    if (requested !== undefined && requested !== bound) {
      throw new BrokerError('session_forbidden', {
        detail: 'The session is bound to an app other than the requested one',
      });
    }
    requireConfiguredApp(apps, bound);
    return bound;
  }
  const app = requested ?? (apps.length === 1 ? apps[0] : undefined);
  if (app === undefined || !apps.includes(app)) {
    throw new BrokerError('request_invalid', { detail: `app must be one of: ${apps.join(', ')}` });
  }
  return app;
}
