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

export interface InternalAppOptions
  extends AdminAccessOptions,
    AccountRoutesOptions,
    AccessIdRouteOptions,
    TerminalRoutesOptions,
    StatusRoutesOptions,
    ConsoleRoutesOptions,
    HealthRoutesOptions,
    MetricsRoutesOptions {
  readonly accounts: AccountRoutesOptions['accounts'] & TerminalRoutesOptions['accounts'];
  readonly accountStore: AccountRoutesOptions['accountStore'] & AccessIdRouteOptions['accountStore'];
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

/** The internal API, ready to `listen()`. While `closing.aborted` is true, it refuses requests and closes connections. */
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
      await guarded.register(accountRoutes, options);
      await guarded.register(accessIdRoute, options);
      await guarded.register(terminalRoutes, options);
      await guarded.register(statusRoutes, options);
    });
  }
  await app.register(consoleRoutes, options);
  await app.register(healthRoutes, options);
  await app.register(metricsRoutes, options);
  return app;
}
