import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { type AccessIds, accessIdTerminal } from '../../broker/access-ids.ts';
import { LOGIN_ERRORS } from '../../token/errors.ts';
import type { AccountStore, KnownAccount } from '../../token/ports.ts';
import { accountId } from '../../token/subject.ts';
import { audit } from '../admin-access.ts';
import { ADMIN_CALL_ERRORS, ADMIN_SECURITY, problemResponses, responseWithBody } from '../documented-responses.ts';
import { accountPath, requestedSubject, type SubjectRules, TERMINAL_PARAMETERS } from '../requested-subject.ts';
import { leaveBodiesUnread } from '../server/request-bodies.ts';
import { querySchema } from '../server/validation.ts';
import { ACCOUNT_EXAMPLES, identity } from './accounts.ts';

const { app, regRegion } = TERMINAL_PARAMETERS;
const accessIdQuery = querySchema({
  app: app.meta({
    description:
      'The app that logs in, for example `ios`. May be left out if there is only one, or if the account is known.',
  }),
  regRegion,
});

const knownAccount = z.looseObject(identity).meta({ id: 'AccessId' });

const obtainAccessId = {
  operationId: 'obtainAccessId',
  summary: "The account's accessId",
  description:
    'For sharing a camera with somebody who has not opened the app yet. An account that has never logged in logs in once: ' +
    'this login takes no place of a terminal, and its token is neither stored nor renewed. Any other account causes no ' +
    'login. The body is not read.',
  tags: ['accounts'],
  security: ADMIN_SECURITY,
  params: accountPath,
  querystring: accessIdQuery,
  response: {
    200: responseWithBody('The accessId. From now on `POST /accounts/lookup` knows it.', {
      schema: knownAccount,
      example: { accessId: '-9223371996052586423', region: 'DE' },
    }),
    ...problemResponses([...ADMIN_CALL_ERRORS, 'not_found', ...LOGIN_ERRORS], {
      ...ACCOUNT_EXAMPLES,
      not_found: { detail: 'The account was erased while its accessId was being obtained' },
      vendor_rejected: { vendorCode: 10016 },
    }),
  },
};

export interface AccessIdRouteOptions extends SubjectRules {
  readonly accountStore: Pick<AccountStore, 'identify'>;
  readonly accessIds: Pick<AccessIds, 'obtain'>;
}

/** `PUT /accounts/{unionId}/access-id`. */
export const accessIdRoute: FastifyPluginAsyncZod<AccessIdRouteOptions> = async (app, options) => {
  leaveBodiesUnread(app);

  app.put('/accounts/:unionId/access-id', { schema: obtainAccessId }, async (request, reply) => {
    const { unionId } = request.params;
    const { app: requestedApp, regRegion } = request.query;
    audit(request, 'account', [accountId(unionId)]);
    const logIn = (): Promise<KnownAccount> => {
      const requested = { app: requestedApp, uniqueId: accessIdTerminal(unionId) };
      const subject = requestedSubject(options, { unionId, app: undefined }, requested);
      return options.accessIds.obtain(subject, regRegion);
    };
    const { accessId, region } = (await options.accountStore.identify(unionId)) ?? (await logIn());
    return reply.send({ accessId, region });
  });
};
