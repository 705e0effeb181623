import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Accounts } from '../broker/accounts.ts';
import type { TokenBroker } from '../broker/token-broker.ts';
import type { Observer } from '../token/observer.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { accountLimit } from './account-limit.ts';
import { requestedSubject, type SubjectRules } from './requested-subject.ts';
import { getSdkToken, logOut } from './sdk-token-docs.ts';
import { queryCheck } from './sdk-token-query.ts';
import { sessionSource } from './session-source.ts';
import { answerToken } from './token-answer.ts';
import { leaveBodiesUnread } from './unread-bodies.ts';

export interface SdkTokenRoutesOptions extends SubjectRules {
  readonly tokens: Pick<TokenBroker, 'read'>;
  readonly accounts: Pick<Accounts, 'logOut'>;
  readonly sessions: SessionVerifier;
  /** The headers that hold a session, given on to its verifier as a JSON object; `undefined`: it is a bearer token. */
  readonly sessionHeaders: readonly string[] | undefined;
  /** Requests an account may make of this replica per minute; 0: no limit. */
  readonly readsPerMinute: number;
  readonly observer: Pick<Observer, 'rateLimited'>;
}

const checkGet = queryCheck('uniqueId', 'app', 'regRegion');
const checkDelete = queryCheck('uniqueId', 'app');

/** `GET /sdk-token`: who is it, what do they ask for, hand out the token. `DELETE /sdk-token`: the app's logout. */
export async function sdkTokenRoutes(app: FastifyInstance, options: SdkTokenRoutesOptions): Promise<void> {
  const { tokens, accounts, sessions } = options;
  const sessionOf = sessionSource(options.sessionHeaders);
  const limit = await accountLimit(app, options.readsPerMinute, options.observer);
  leaveBodiesUnread(app);
  // The queries' schemas document them; the handlers check them, once they know who is asking.
  app.setValidatorCompiler(() => () => true);

  const callerOf = async (request: FastifyRequest): Promise<Principal> => {
    const caller = await sessions.verify(sessionOf(request.headers));
    await limit?.(request, caller.unionId);
    return caller;
  };

  app.get('/sdk-token', { schema: getSdkToken }, async (request, reply) => {
    const caller = await callerOf(request);
    const query = checkGet(request.query);
    const subject = requestedSubject(options, caller, query);
    const region = caller.region ?? query.regRegion;
    return answerToken(tokens, { subject, region, sessionIssuedAt: caller.issuedAt }, request, reply);
  });

  app.delete('/sdk-token', { schema: logOut }, async (request, reply) => {
    const caller = await callerOf(request);
    await accounts.logOut(requestedSubject(options, caller, checkDelete(request.query)));
    return reply.code(204).send();
  });
}
