import type { FastifyInstance } from 'fastify';
import { runbookOf } from '../../token/findings.ts';
import { ADMIN_SECURITY, problemResponses, responseWithBody } from '../documented-responses.ts';
import { type StatusReport, statusReport } from '../status-report.ts';
import { noQuery } from './accounts.ts';

const EXAMPLE: StatusReport = {
  version: '1.4.0',
  replica: 'sdk-token-broker-6d5f9c7b8-x2x4q',
  at: '2023-10-08T09:39:48.000Z',
  startedAt: '2023-10-01T07:00:02.120Z',
  findings: [
    {
      code: 'vendor_fails_logins',
      level: 'bad',
      message: 'The vendor fails 62 % of the logins (timeout). See which ones, and ask the vendor.',
      count: 59,
      share: 0.62,
      reason: 'timeout',
      since: '2023-10-08T09:36:10.000Z',
      runbook: runbookOf('vendor_fails_logins'),
    },
  ],
  replicas: [
    {
      replica: 'sdk-token-broker-6d5f9c7b8-x2x4q',
      version: '1.4.0',
      startedAt: '2023-10-01T07:00:02.120Z',
      findings: ['vendor_fails_logins'],
      clockOffsetSeconds: 0.004,
      configuration: '5f1d7c0a93be',
      missingSince: null,
    },
  ],
  tokensEnded: 0,
  firstEndAt: '2023-10-11T11:20:31.000Z',
  endsCut: false,
  vendorDomains: [
    {
      host: 'vendor.example',
      circuit: 'closed',
      clockOffsetSeconds: 0,
      lastSuccessAt: '2023-10-08T09:39:41.310Z',
      lastFailure: { at: '2023-10-07T22:10:05.004Z', reason: 'timeout' },
      failingSince: null,
    },
  ],
  loginBudget: { perSecond: 10, used: 0.12, waiting: 0 },
  store: {
    kind: 'redis',
    reachable: true,
    encryptionKeys: ['2023-10'],
    lastSuccessAt: '2023-10-08T09:39:47.998Z',
    lastFailure: null,
    failingSince: null,
  },
  sessions: {
    mode: 'jwt',
    server: { lastSuccessAt: '2023-10-08T09:31:20.774Z', lastFailure: null, failingSince: null },
  },
  schedule: {
    due: { now: 0, in1h: 412, in24h: 9_870, in7d: 70_114, in30d: 301_250 },
    next24Hours: Array<number>(24).fill(412),
    next30Days: Array<number>(30).fill(10_041),
    endNext24Hours: Array<number>(24).fill(0),
    total: 301_250,
    oldestOverdueSeconds: 0,
  },
  memory: { tokens: 20_114, bytes: 52_004_310 },
  recentFailures: {
    requests: { last5Minutes: { session_expired: 12 }, last60Minutes: { session_expired: 160, vendor_timeout: 1 } },
    backgroundRenewals: { last5Minutes: {}, last60Minutes: { vendor_timeout: 3 } },
  },
  lastHour: {
    from: '2023-10-08T08:39:00.000Z',
    reads: { memory: Array<number>(61).fill(310), redis: Array<number>(61).fill(86) },
    renewals: { login: Array<number>(61).fill(7) },
    logins: { success: Array<number>(61).fill(7) },
    sessions: { accepted: Array<number>(61).fill(90), cached: Array<number>(61).fill(306) },
  },
};

const getStatus = {
  operationId: 'getStatus',
  summary: 'The state of the service',
  description:
    'What is wrong, the replicas, vendor domains, login budget, store, session server, due tokens and recent failures. ' +
    'It also answers while the store is down. A report answers all callers for one second.',
  tags: ['status'],
  security: ADMIN_SECURITY,
  querystring: noQuery,
  response: {
    200: responseWithBody('The state.', { schema: statusReport, example: EXAMPLE }),
    ...problemResponses(
      ['request_invalid', 'session_missing', 'session_invalid', 'rate_limited', 'internal', 'shutting_down'],
      { request_invalid: { detail: 'The query has an unknown parameter' } },
    ),
  },
};

export interface StatusRoutesOptions {
  readonly status: () => Promise<StatusReport>;
}

/** `GET /status`. */
export async function statusRoutes(app: FastifyInstance, options: StatusRoutesOptions): Promise<void> {
  app.get('/status', { schema: getStatus }, async (_request, reply) => reply.send(await options.status()));
}
