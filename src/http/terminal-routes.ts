import type { FastifyInstance } from 'fastify';
import type { Accounts } from '../broker/accounts.ts';
import type { TokenBroker } from '../broker/token-broker.ts';
import { checkTerminalPath, type TerminalPath } from './account-path.ts';
import { requestedSubject, type SubjectRules } from './requested-subject.ts';
import { queryCheck } from './sdk-token-query.ts';
import { getTerminalToken, logTerminalOut } from './terminal-docs.ts';
import { answerToken } from './token-answer.ts';
import { leaveBodiesUnread } from './unread-bodies.ts';

export interface TerminalRoutesOptions extends SubjectRules {
  readonly tokens: Pick<TokenBroker, 'read'>;
  readonly accounts: Pick<Accounts, 'logOut'>;
}

const checkGet = queryCheck('app', 'regRegion');
const checkDelete = queryCheck('app');

/** A terminal's token for the customer's own cloud, and its logout. */
export async function terminalRoutes(app: FastifyInstance, options: TerminalRoutesOptions): Promise<void> {
  const { tokens, accounts, apps, terminalPolicy } = options;
  leaveBodiesUnread(app);

  app.get<{ Params: TerminalPath }>(
    '/accounts/:unionId/terminals/:uniqueId/sdk-token',
    { schema: getTerminalToken },
    async (request, reply) => {
      const { unionId, uniqueId } = checkTerminalPath(request.params, terminalPolicy);
      const query = checkGet(request.query);
      const subject = requestedSubject(options, { unionId, app: undefined }, { ...query, uniqueId });
      // The cloud that issues the sessions asks: no erasure is newer.
      const sessionIssuedAt = Number.POSITIVE_INFINITY;
      return answerToken(tokens, { subject, region: query.regRegion, sessionIssuedAt }, request, reply);
    },
  );

  app.delete<{ Params: TerminalPath }>(
    '/accounts/:unionId/terminals/:uniqueId',
    { schema: logTerminalOut },
    async (request, reply) => {
      const { unionId, uniqueId } = checkTerminalPath(request.params, terminalPolicy);
      const query = checkDelete(request.query);
      const subjects = (query.app === undefined ? apps : [query.app]).map((app) =>
        requestedSubject(options, { unionId, app: undefined }, { app, uniqueId }),
      );
      await Promise.all(subjects.map((subject) => accounts.logOut(subject)));
      return reply.code(204).send();
    },
  );
}
