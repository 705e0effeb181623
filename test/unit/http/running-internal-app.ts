import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { AdminTokens } from '../../../src/http/admin-access.ts';
import { createInternalApp, type InternalAppOptions } from '../../../src/http/internal-app.ts';
import type { StatusReport } from '../../../src/http/routes/status.ts';
import type { StoredAccount } from '../../../src/token/ports.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { type PlainAnswer, plainRequest } from '../../support/plain-request.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { servedToken } from './running-app.ts';

export const METRICS = '# TYPE counted counter\ncounted 1\n';
export const STATUS: StatusReport = {
  version: '1.2.3',
  replica: 'broker-1',
  at: '2026-11-26T08:00:00.000Z',
  startedAt: '2026-11-25T08:00:00.000Z',
  findings: [],
  replicas: [],
  tokensEnded: 0,
  firstEndAt: null,
  vendorDomains: [
    {
      state: 'last_try_failed',
      host: 'vendor.example:8443',
      circuit: 'open',
      clockOffsetSeconds: -15.2,
      lastSuccessAt: null,
      lastFailure: { at: '2026-11-26T07:59:00.000Z', reason: 'configuration', vendorCode: 10_007 },
      failingSince: '2026-11-26T07:58:00.000Z',
    },
  ],
  loginBudget: { perSecond: null, used: null, waiting: null },
  store: {
    state: 'fails',
    kind: 'redis',
    reachable: false,
    encryptionKeys: ['k1'],
    lastSuccessAt: null,
    lastFailure: null,
    failingSince: null,
  },
  sessions: { mode: 'jwt', server: null },
  schedule: null,
  memory: { tokens: 0, bytes: 0 },
  recentFailures: {
    requests: { last5Minutes: { vendor_rejected: 2 }, last60Minutes: { vendor_rejected: 3 } },
    backgroundRenewals: { last5Minutes: {}, last60Minutes: {} },
  },
  lastHour: {
    from: '2026-11-26T07:00:00.000Z',
    reads: { memory: Array.from({ length: 61 }, () => 2) },
    renewals: {},
    logins: {},
    sessions: {},
  },
};
export const ADMIN_TOKEN = 'admin-canary-2b3c4d';

interface RunningInternalApp {
  readonly app: FastifyInstance;
  readonly origin: string;
  /** Every line logged so far, as text. */
  readonly log: () => string;
  /** A request with the admin token. */
  readonly ask: (
    method: string,
    path: string,
    sent?: { readonly headers?: Record<string, string>; readonly body?: string },
  ) => Promise<PlainAnswer>;
}

export type InternalSettings = Partial<
  Omit<InternalAppOptions, 'logger' | 'adminTokens' | 'accounts' | 'accountStore'>
> & {
  /** With the store's methods or without them. */
  readonly accounts?: InternalAppOptions['accounts'] & Partial<InternalAppOptions['accountStore']>;
  /** The token of the caller `default`; `undefined`: there is none. */
  readonly adminToken?: string | undefined;
  readonly logLevel?: string;
};

/** Runs the internal app on a free port until the test ends, with a broker that knows no account. */
export async function startInternalApp(settings: InternalSettings = {}): Promise<RunningInternalApp> {
  const lines: string[] = [];
  const { adminToken: token, logLevel: level = 'trace', ...options } = { adminToken: ADMIN_TOKEN, ...settings };
  const { accounts = recordingAccounts().accounts } = settings;
  const app = await createInternalApp({
    tokens: { read: async () => servedToken() },
    accessIds: { obtain: async () => ({ accessId: '-9223371996052586423', region: 'DE' }) },
    apps: ['default'],
    terminalPolicy: 'multi',
    refreshAt: () => 0,
    terminalLimit: 20,
    hostNames: [],
    status: async () => STATUS,
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4; charset=utf-8', body: METRICS }),
    readiness: async () => ({ ready: true, checks: { store: 'ok' } }),
    closing: new AbortController().signal,
    observer: silentObserver,
    ...options,
    accounts,
    accountStore: { ...recordingAccounts().accounts, ...accounts },
    adminTokens: new AdminTokens(token === undefined ? [] : [{ name: 'default', token }]),
    logger: pino({ level }, { write: (line: string) => lines.push(line) }),
  });
  onTestFinished(() => app.close());
  const origin = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    app,
    origin,
    log: () => lines.join(''),
    ask: (method, path, { headers = {}, body } = {}) =>
      plainRequest(origin + path, {
        method,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...headers },
        ...(body !== undefined && { body }),
      }),
  };
}

/** Accounts that record the calls. */
export function recordingAccounts(known: ReadonlyMap<string, StoredAccount> = new Map()) {
  const found: string[] = [];
  const erased: string[] = [];
  const loggedOut: Subject[] = [];
  const loggedOutEverywhere: string[] = [];
  const lookedUp: (readonly string[])[] = [];
  const accounts: InternalAppOptions['accounts'] & InternalAppOptions['accountStore'] = {
    find: async (unionId) => {
      found.push(unionId);
      return known.get(unionId) ?? { records: [] };
    },
    identify: async (unionId) => known.get(unionId)?.identity,
    erase: async (unionId) => {
      erased.push(unionId);
    },
    logOut: async (subject) => {
      loggedOut.push(subject);
    },
    logOutEverywhere: async (unionId) => {
      loggedOutEverywhere.push(unionId);
    },
    lookUp: async (accessIds) => {
      lookedUp.push(accessIds);
      return new Map([...known].map(([unionId, { identity }]) => [identity?.accessId ?? '', unionId]));
    },
  };
  return { accounts, found, erased, loggedOut, loggedOutEverywhere, lookedUp };
}
