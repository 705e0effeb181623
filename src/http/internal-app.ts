import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { ErrorCode } from '../token/errors.ts';
import type { RequestTracer } from '../token/tracer.ts';
import { type AdminAccessOptions, type AdminTokens, requireAdminToken } from './admin-access.ts';
import { type AccessIdRouteOptions, accessIdRoute } from './routes/access-id.ts';
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
import { connectionBound, createBaseApp } from './server/server.ts';

interface GuardedRoutesOptions
  extends AccountRoutesOptions,
    AccessIdRouteOptions,
    TerminalRoutesOptions,
    StatusRoutesOptions {
  readonly accounts: AccountRoutesOptions['accounts'] & TerminalRoutesOptions['accounts'];
  readonly accountStore: AccountRoutesOptions['accountStore'] & AccessIdRouteOptions['accountStore'];
}

interface OpenRoutesOptions extends ConsoleRoutesOptions, HealthRoutesOptions, MetricsRoutesOptions {}

export interface InternalAppOptions extends AdminAccessOptions, GuardedRoutesOptions, OpenRoutesOptions {
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** If it is empty, the API has only health and metrics. */
  readonly adminTokens: AdminTokens;
  /** Called with the code of each refused request. */
  readonly onRefusal?: ((code: ErrorCode) => void) | undefined;
  /** Without it, no request is traced. */
  readonly tracer?: RequestTracer | undefined;
}

/** In bytes. A lookup of 1000 accessIds of 128 characters with 4 bytes each fits. */
const BODY_LIMIT = 512 * 1_024;
/** Most open connections, from Prometheus and the customer's own services. */
const MAX_CONNECTIONS = 512;
const DESCRIPTOR_SHARE = 1 / 8;
/** More than a request line can hold, because the schemas limit the length of ids. */
const MAX_PARAM_LENGTH = 16 * 1_024;

/**
 * The internal API, ready to `listen()`. While `closing.aborted` is true, it refuses requests and closes connections.
 */
export async function createInternalApp(options: InternalAppOptions): Promise<FastifyInstance> {
  const { logger, closing, adminTokens, onRefusal, tracer } = options;
  const app = createBaseApp({
    logger,
    closing,
    onRefusal,
    tracer,
    realm: 'sdk-token-broker-internal',
    bodyLimit: BODY_LIMIT,
    maxConnections: connectionBound(MAX_CONNECTIONS, DESCRIPTOR_SHARE),
    maxParamLength: MAX_PARAM_LENGTH,
  });
  if (!adminTokens.isEmpty) {
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
  await app.register(accessIdRoute, options);
  await app.register(terminalRoutes, options);
  await app.register(statusRoutes, options);
}

/** The other routes. */
export async function addOpenRoutes(app: FastifyInstance, options: OpenRoutesOptions): Promise<void> {
  await app.register(consoleRoutes, options);
  await app.register(healthRoutes, options);
  await app.register(metricsRoutes, options);
}
