import type { FastifyInstance } from 'fastify';
import type { Accounts } from '../broker/accounts.ts';
import { BrokerError } from '../token/errors.ts';
import { eraseAccount, getAccount, lookUpAccounts } from './account-docs.ts';
import { type AccountPath, checkAccountPath } from './account-path.ts';
import { type AccountViewOptions, accountView } from './account-view.ts';
import { requestedAccessIds } from './lookup-body.ts';
import { queryCheck } from './sdk-token-query.ts';
import { leaveBodiesUnread } from './unread-bodies.ts';

export interface AccountRoutesOptions extends AccountViewOptions {
  readonly accounts: Pick<Accounts, 'find' | 'lookUp' | 'erase'>;
}

const checkQuery = queryCheck();

/** Look at an account, find accounts by accessId, erase one. */
export async function accountRoutes(app: FastifyInstance, options: AccountRoutesOptions): Promise<void> {
  const { accounts } = options;
  app.removeContentTypeParser('text/plain');

  app.get<{ Params: AccountPath }>('/accounts/:unionId', { schema: getAccount }, async (request, reply) => {
    checkQuery(request.query);
    const account = await accounts.find(checkAccountPath(request.params));
    if (!account) throw new BrokerError('not_found', { detail: 'There is no such account here' });
    return reply.header('cache-control', 'no-store').send(accountView(account, options));
  });

  app.post('/accounts/lookup', { schema: lookUpAccounts }, async (request, reply) => {
    checkQuery(request.query);
    const found = await accounts.lookUp(requestedAccessIds(request.body));
    return reply.header('cache-control', 'no-store').send(Object.fromEntries(found));
  });

  await app.register(async (scope) => {
    leaveBodiesUnread(scope);
    scope.delete<{ Params: AccountPath }>('/accounts/:unionId', { schema: eraseAccount }, async (request, reply) => {
      checkQuery(request.query);
      await accounts.erase(checkAccountPath(request.params));
      return reply.code(204).send();
    });
  });
}
