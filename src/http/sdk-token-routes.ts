import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Accounts } from '../broker/accounts.ts';
import type { TokenBroker } from '../broker/token-broker.ts';
import type { Observer } from '../token/observer.ts';
import type { BelievedPrincipal, SessionVerifier } from '../token/principal.ts';
import { subjectId } from '../token/subject.ts';
import type { AccountLimit } from './account-limit.ts';
import type { RepeatedReads } from './repeated-reads.ts';
import { requestedSubject, type SubjectRules } from './requested-subject.ts';
import { getSdkToken, logOut } from './sdk-token-docs.ts';
import { queryCheck } from './sdk-token-query.ts';
import { sessionSource } from './session-source.ts';
import { answerToken } from './token-answer.ts';
import { leaveBodiesUnread } from './unread-bodies.ts';

export interface SdkTokenRoutesOptions extends SubjectRules {
  readonly tokens: Pick<TokenBroker, 'read'>;
  readonly accounts: Pick<Accounts, 'logOut'>;
  readonly sessions: SessionVerifier<BelievedPrincipal>;
  /** The headers that hold a session, given on to its verifier as a JSON object; `undefined`: it is a bearer token. */
  readonly sessionHeaders: readonly string[] | undefined;
  readonly limit: AccountLimit;
  /** Where reads are remembered, to answer those that are repeated. */
  readonly repeated: Pick<RepeatedReads, 'learn'>;
  readonly observer: Pick<Observer, 'rateLimited'>;
}

const checkGet = queryCheck('uniqueId', 'app', 'regRegion');
const checkDelete = queryCheck('uniqueId', 'app');

/** `GET /sdk-token`: who is it, what do they ask for, hand out the token. `DELETE /sdk-token`: the app's logout. */
export async function sdkTokenRoutes(app: FastifyInstance, options: SdkTokenRoutesOptions): Promise<void> {
  const { tokens, accounts, sessions, limit, repeated, observer } = options;
  const sessionOf = sessionSource(options.sessionHeaders);
  leaveBodiesUnread(app);

  const callerOf = async ({ headers }: FastifyRequest): Promise<BelievedPrincipal> => {
    const caller = await sessions.verify(sessionOf(headers));
    const refusal = limit(caller.unionId)();
    if (!refusal) return caller;
    observer.rateLimited('requests');
    throw refusal;
  };

  app.get('/sdk-token', { schema: getSdkToken }, async (request, reply) => {
    const caller = await callerOf(request);
    const query = checkGet(request.query);
    const subject = requestedSubject(options, caller, query);
    const region = caller.region ?? query.regRegion;
    const id = subjectId(subject);
    repeated.learn(request.raw, caller, id);
    return answerToken(tokens, { subject, id, region, sessionIssuedAt: caller.issuedAt }, request, reply);
  });

  app.delete('/sdk-token', { schema: logOut }, async (request, reply) => {
    const caller = await callerOf(request);
    await accounts.logOut(requestedSubject(options, caller, checkDelete(request.query)));
    return reply.code(204).send();
  });
}
