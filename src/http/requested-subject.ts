import { BrokerError } from '../token/errors.ts';
import type { Subject } from '../token/subject.ts';
import { SDK_TOKEN_RULES } from './sdk-token-query.ts';

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
