import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { StatusReport } from '../../broker/status.ts';
import { ADMIN_SECURITY, problemResponses, responseWithBody } from '../documented-responses.ts';
import { noQuery } from './accounts.ts';

const instant = z.string().meta({ format: 'date-time' });
const count = z.int().min(0);

const contact = {
  lastSuccessAt: instant.nullable().meta({ description: '`null` before the first success of this replica.' }),
  lastFailure: z
    .looseObject({
      at: instant,
      reason: z.string().meta({ description: 'The kind of failure.' }),
      vendorCode: z.int().optional().meta({ description: "The vendor's result code." }),
    })
    .nullable(),
  failingSince: instant.nullable().meta({
    description: 'The first failure after the last success; `null` if the last contact was a success.',
  }),
};

const perMinute = z
  .record(z.string(), z.array(count))
  .meta({ description: 'Counts per minute by outcome, the oldest first. Outcomes without an event are missing.' });

const failures = z.record(z.string(), count).meta({ description: 'By `code`.' });
const recentFailures = z.looseObject({ last5Minutes: failures, last60Minutes: failures });

const status = z
  .looseObject({
    version: z.string(),
    replica: z.string().meta({ description: 'Host name of the replica that answers.' }),
    at: instant.meta({ description: 'The time of this report.' }),
    startedAt: instant,
    vendorDomains: z.array(
      z.looseObject({
        host: z.string(),
        circuit: z.enum(['closed', 'half-open', 'open']).meta({ description: 'While `open`, no login is sent there.' }),
        clockOffsetSeconds: z.number().meta({ description: "The vendor's clock minus the clock of this host." }),
        ...contact,
      }),
    ),
    loginBudget: z
      .looseObject({
        perSecond: z.number().nullable().meta({ description: '`VENDOR_MAX_RPS`; `null` without a limit.' }),
        used: z.number().nullable().meta({ description: 'The share that this replica used lately, from 0 to 1.' }),
        waiting: count.nullable().meta({ description: 'Logins of all replicas that wait for their place.' }),
      })
      .meta({ description: '`null`: there is no limit, or the store does not answer.' }),
    store: z.looseObject({
      kind: z.enum(['redis', 'memory']),
      reachable: z.boolean().meta({ description: 'Whether the store answers now.' }),
      encryptionKeys: z.array(z.string()).meta({
        description: 'Ids of the keys in `TOKEN_ENCRYPTION_KEYS`. The first one encrypts, and each one decrypts.',
      }),
      lastDataLoss: z
        .looseObject({
          at: instant,
          history: z.enum(['lost', 'went_back']).meta({
            description:
              '`lost`: Redis came back empty. `went_back`: Redis came back with older data, for example from a snapshot.',
          }),
        })
        .nullable()
        .meta({
          description:
            'The last time that this replica found changes missing in Redis; `null` if it has found none since its start.',
        }),
      ...contact,
    }),
    sessions: z.looseObject({
      mode: z.string().meta({ description: '`SESSION_MODE`.' }),
      server: z
        .looseObject(contact)
        .nullable()
        .meta({ description: 'The server that session checks need; `null` if they need none.' }),
    }),
    schedule: z
      .looseObject({
        due: z.looseObject({ now: count, in1h: count, in24h: count, in7d: count, in30d: count }).meta({
          description: 'Tokens that are due for a renewal, or end, within this time. Each includes the ones before it.',
        }),
        next24Hours: z
          .array(count)
          .meta({ description: 'Tokens that fall due in each of the next 24 hours, counted up to a minute ago.' }),
        next30Days: z.array(count).meta({ description: 'The same for each of the next 30 days.' }),
        total: count,
        oldestOverdueSeconds: z.number().min(0),
      })
      .nullable()
      .meta({ description: 'Over all replicas; `null` if the store does not answer.' }),
    memory: z.looseObject({ tokens: count, bytes: count }).meta({ description: "Tokens in this replica's memory." }),
    lastHour: z
      .looseObject({
        from: instant.meta({ description: 'The start of the first minute.' }),
        reads: perMinute,
        renewals: perMinute,
        logins: perMinute,
        sessions: perMinute,
      })
      .meta({
        description:
          'What this replica counted: 61 counts in each list, for the last hour and the current minute. An outcome is the ' +
          'label of the metric, or the `code` of an error.',
      }),
    recentFailures: z
      .looseObject({ requests: recentFailures, backgroundRenewals: recentFailures })
      .meta({ description: 'Failures of this replica by `code`. The current minute comes on top.' }),
  })
  .meta({ id: 'Status', description: 'The state of the service as this replica sees it. Nothing personal.' });

/** An example series: the same count in each interval. */
function evenSeries(count: number, length: number): number[] {
  return Array.from({ length }, () => count);
}

const EXAMPLE: StatusReport = {
  version: '1.4.0',
  replica: 'sdk-token-broker-6d5f9c7b8-x2x4q',
  at: '2023-10-08T09:39:48.000Z',
  startedAt: '2023-10-01T07:00:02.120Z',
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
    lastDataLoss: { at: '2023-10-03T02:14:07.310Z', history: 'went_back' },
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
    next24Hours: evenSeries(412, 24),
    next30Days: evenSeries(10_041, 30),
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
    reads: { memory: evenSeries(310, 61), redis: evenSeries(86, 61) },
    renewals: { login: evenSeries(7, 61) },
    logins: { success: evenSeries(7, 61) },
    sessions: { accepted: evenSeries(90, 61), cached: evenSeries(306, 61) },
  },
};

const getStatus = {
  operationId: 'getStatus',
  summary: 'The state of the service',
  description:
    'Vendor domains, login budget, store, session server, due tokens and recent failures. It also answers while the ' +
    'store is down. A report answers all callers for one second.',
  tags: ['status'],
  security: ADMIN_SECURITY,
  querystring: noQuery,
  response: {
    200: responseWithBody('The state.', { schema: status, example: EXAMPLE }),
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
  app.get('/status', { schema: getStatus }, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send(await options.status()),
  );
}
