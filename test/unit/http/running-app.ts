import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { ReadRequest } from '../../../src/broker/requests.ts';
import { createPublicApp, type PublicAppOptions } from '../../../src/http/public-app.ts';
import type { CachedPrincipal } from '../../../src/token/principal.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountId } from '../../../src/token/subject.ts';
import { silentObserver } from '../../support/silent-observer.ts';

export const SESSION = 'session-canary-0a1b2c';
export const UNION_ID = 'union-canary-3d4e5f';
export const UNIQUE_ID = 'terminal-canary-6a7b8c';
export const ACCESS_TOKEN = 'access-token-canary-9d0e1f';

export interface RunningApp {
  readonly app: FastifyInstance;
  readonly origin: string;
  /** Every line logged so far. */
  readonly log: () => Record<string, unknown>[];
  /** `GET /sdk-token` with the canary session and terminal. */
  readonly getToken: (headers?: Record<string, string>) => Promise<Response>;
  /** Sends these bytes over a new connection and reads until the server closes it. */
  readonly raw: (request: string) => Promise<string>;
}

export type AppSettings = Partial<Omit<PublicAppOptions, 'logger'>> & {
  readonly logLevel?: string;
  /** Called before the app listens. */
  readonly prepare?: (app: FastifyInstance) => void;
};

/** Runs the public app on a free port until the test ends, with a broker and a verifier that know the canaries. */
export async function startApp({ logLevel = 'info', prepare, ...settings }: AppSettings = {}): Promise<RunningApp> {
  const lines: string[] = [];
  const app = await createPublicApp({
    tokens: { read: async () => servedToken() },
    accounts: { logOut: async () => undefined },
    sessions: { verify: async () => principal() },
    forwardedSession: undefined,
    apps: ['default'],
    terminalPolicy: 'multi',
    readsPerMinute: 0,
    observer: silentObserver,
    readiness: async () => ({ ready: true, checks: { store: 'ok' } }),
    closing: new AbortController().signal,
    apiDocs: true,
    ...settings,
    logger: pino({ level: logLevel }, { write: (line: string) => lines.push(line) }),
  });
  onTestFinished(() => app.close());
  prepare?.(app);
  const origin = await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    app,
    origin,
    log: () => lines.map((line) => JSON.parse(line)),
    getToken: (headers = {}) =>
      fetch(`${origin}/sdk-token?uniqueId=${UNIQUE_ID}`, {
        headers: { authorization: `Bearer ${SESSION}`, ...headers },
      }),
    raw: async (request) => {
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect');
      socket.write(request);
      return text(socket);
    },
  };
}

/** A token broker that records its calls. */
export function recordingTokens() {
  const reads: ReadRequest[] = [];
  const read = async (request: ReadRequest) => {
    reads.push(request);
    return servedToken();
  };
  return { reads, tokens: { read } };
}

/** The principal of the canary session. */
export function principal(claims: Partial<Omit<CachedPrincipal, 'account'>> = {}): CachedPrincipal {
  return {
    account: accountId(claims.unionId ?? UNION_ID),
    unionId: UNION_ID,
    region: undefined,
    app: undefined,
    issuedAt: undefined,
    expiresAt: Number.MAX_SAFE_INTEGER,
    latest: undefined,
    ...claims,
  };
}

/** The record of {@link servedToken}. */
export const RECORD: TokenRecord = {
  subject: { app: 'default', unionId: UNION_ID, uniqueId: UNIQUE_ID },
  region: 'CN',
  token: {
    fields: {
      accessId: '-9223371996052586423',
      accessToken: ACCESS_TOKEN,
      expireTime: '1699349988',
      terminalId: '-9223371996052586423',
      expand: '{"area":"cn","regRegion":"CN"}',
      expend: '{"area":"cn","regRegion":"CN"}',
      nickname: 'Zoë',
    },
    issuedAt: 0,
    expiresAt: 1_699_349_988_000,
  },
  generation: 1,
  answeredAt: 1,
  read: false,
  unreadRenewals: 0,
  suspect: false,
};

export function servedToken(): ServedToken {
  return serveToken(RECORD);
}
