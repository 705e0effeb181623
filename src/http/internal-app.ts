import type { FastifyInstance } from 'fastify';
import { BrokerError } from '../token/errors.ts';
import { isForeignHost } from '../token/host-names.ts';
import { type AdminAccessOptions, requireAdminToken } from './admin-access.ts';
import { type AccountRoutesOptions, accountRoutes } from './routes/accounts.ts';
import { type ConsoleRoutesOptions, consoleRoutes } from './routes/console.ts';
import {
  type HealthRoutesOptions,
  healthRoutes,
  type MetricsRoutesOptions,
  metricsRoutes,
} from './routes/monitoring.ts';
import { type StatusRoutesOptions, statusRoutes } from './routes/status.ts';
import { type TerminalRoutesOptions, terminalRoutes } from './routes/terminals.ts';
import type { AppContext } from './server/request-hooks.ts';
import { connectionBound, createBaseApp } from './server/server.ts';

type GuardedRoutesOptions = AccountRoutesOptions & TerminalRoutesOptions & StatusRoutesOptions;

type OpenRoutesOptions = ConsoleRoutesOptions & HealthRoutesOptions & MetricsRoutesOptions;

/** If `adminTokens` is empty, the API has only health and metrics. */
export type InternalAppOptions = AppContext &
  AdminAccessOptions &
  GuardedRoutesOptions &
  OpenRoutesOptions & {
    /** Host names that callers may use, in lower case, besides addresses and local names. */
    readonly hostNames: readonly string[];
  };

/** In bytes. A lookup of 1000 accessIds of 128 characters with 4 bytes each fits. */
const BODY_LIMIT = 512 * 1_024;
/** Most open connections, from Prometheus and the customer's own services. */
const MAX_CONNECTIONS = 512;
const DESCRIPTOR_SHARE = 1 / 8;
const FOREIGN_HOST = new BrokerError('request_invalid', {
  detail:
    'The header Host must be an IP address, a name without a dot, a name below svc, cluster.local, internal or ' +
    'localhost, or one in ADMIN_HOST_NAMES',
});

/** The internal API, ready to `listen()`. While `closing.aborted`, it refuses requests and closes connections. */
export async function createInternalApp(options: InternalAppOptions): Promise<FastifyInstance> {
  const app = createBaseApp({
    ...options,
    realm: 'sdk-token-broker-internal',
    bodyLimit: BODY_LIMIT,
    maxConnections: connectionBound(MAX_CONNECTIONS, DESCRIPTOR_SHARE),
  });
  app.addHook('onRequest', ({ headers: { host } }, _reply, done) => {
    done(host !== undefined && isForeignHost(host, options.hostNames) ? FOREIGN_HOST : undefined);
  });
  if (!options.adminTokens.isEmpty) {
    await app.register(async (guarded) => {
      requireAdminToken(guarded, options);
      await addGuardedRoutes(guarded, options);
    });
  }
  await addOpenRoutes(app, options);
  return app;
}

/** The routes that need an admin token. */
export async function addGuardedRoutes(app: FastifyInstance, options: GuardedRoutesOptions): Promise<void> {
  await app.register(accountRoutes, options);
  await app.register(terminalRoutes, options);
  await app.register(statusRoutes, options);
}

/** The other routes. */
export async function addOpenRoutes(app: FastifyInstance, options: OpenRoutesOptions): Promise<void> {
  await app.register(consoleRoutes, options);
  await app.register(healthRoutes, options);
  await app.register(metricsRoutes, options);
}
