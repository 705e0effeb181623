import { z } from 'zod';
import { BrokerError } from '../token/errors.ts';
import { REGION_PATTERN, type Subject, UNION_ID_MAX_LENGTH, UNIQUE_ID_PATTERN } from '../token/subject.ts';
import { queryParameter } from './server/validation.ts';

const UNIQUE_ID = '1 to 128 visible ASCII characters';
const APP = '1 to 64 of the characters A-Z a-z 0-9 . _ -';
const REGION = 'a country of ISO 3166-1 alpha-2, two letters in upper case';
const UNION_ID = `1 to ${UNION_ID_MAX_LENGTH} Unicode characters, percent-encoded as UTF-8`;

/** The query parameters that name a terminal. */
export const TERMINAL_PARAMETERS = {
  uniqueId: queryParameter(UNIQUE_ID_PATTERN, UNIQUE_ID)
    .optional()
    .meta({
      description: `The terminal (phone): ${UNIQUE_ID}. Where an account is one terminal (\`TERMINAL_POLICY=single\`) it changes nothing and may be left out.`,
    }),
  app: queryParameter(/^[A-Za-z0-9._-]{1,64}$/, APP)
    .optional()
    .meta({
      description: `The edition of the app: ${APP}. May be left out where there is one, or where the session is bound to one.`,
    }),
  regRegion: queryParameter(REGION_PATTERN, REGION)
    .optional()
    .meta({
      description: `The account's country where neither the account nor its session has one: ${REGION}.`,
    }),
};

/** The path of an account. */
export const accountPath = z.strictObject({
  unionId: z
    .string()
    .refine(isUnionId, { error: `must be ${UNION_ID}` })
    .meta({ description: `The account: ${UNION_ID}.` }),
});

function isUnionId(text: string): boolean {
  const length = [...text].length;
  return length >= 1 && length <= UNION_ID_MAX_LENGTH && text.isWellFormed();
}

/** The path of a terminal. With the `single` policy a terminal may also be named by its account, as the account lists it. */
export function terminalPath(policy: TerminalPolicy) {
  const allowed = `${UNIQUE_ID}, percent-encoded`;
  const uniqueId = z.string().meta({ description: `The terminal (phone): ${allowed}.` });
  return accountPath
    .extend({ uniqueId })
    .refine(
      ({ unionId, uniqueId }) => UNIQUE_ID_PATTERN.test(uniqueId) || (policy === 'single' && uniqueId === unionId),
      { path: ['uniqueId'], error: `must be ${allowed}` },
    );
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
  asked: { readonly app?: string | undefined; readonly uniqueId?: string | undefined },
): Subject {
  const { unionId } = account;
  const uniqueId = terminalPolicy === 'single' ? unionId : asked.uniqueId;
  if (uniqueId === undefined) {
    throw new BrokerError('request_invalid', { detail: `uniqueId is required: ${UNIQUE_ID}` });
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
