import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import { FINDING_CODES, LEVELS } from '../../token/findings.ts';
import { ADMIN_CALL_ERRORS, instant, open, problemResponses, responseWithBody } from '../documented-responses.ts';
import { noQuery } from './accounts.ts';

const count = z.int().min(0);

const CONTACT_STATES = ['works', 'last_try_failed', 'fails'] as const;
export type ContactState = (typeof CONTACT_STATES)[number];

const contact = {
  state: z.enum(CONTACT_STATES).meta({
    description: '`last_try_failed`: the last contact of this replica failed. `fails`: there is a finding about it.',
  }),
  lastSuccessAt: instant.nullable().meta({ description: '`null` before the first success of this replica.' }),
  lastFailure: open({
    at: instant,
    reason: z.string().meta({ description: 'The kind of failure.' }),
    vendorCode: z.int().optional().meta({ description: "The vendor's result code." }),
    problem: z.string().optional().meta({
      description: 'What exactly went wrong, for example `CERT_HAS_EXPIRED` or `ENOTFOUND`.',
    }),
  }).nullable(),
  failingSince: instant.nullable().meta({
    description: 'The first failure after the last success; `null` if the last contact was a success.',
  }),
};

const perMinute = z
  .record(z.string(), z.array(count))
  .meta({ description: 'Counts per minute by outcome, the oldest first. Outcomes without an event are missing.' });

const failures = z.record(z.string(), count).meta({ description: 'By `code`.' });
const recentFailures = open({ last5Minutes: failures, last60Minutes: failures });

const findingCode = z.enum(FINDING_CODES);

const finding = open({
  code: findingCode,
  level: z.enum(LEVELS).meta({
    description: '`critical`: apps get errors, or will soon. `warn`: look at it. `info`: know it.',
  }),
  message: z.string().meta({ description: 'What is wrong, and the first step.' }),
  count: count.optional().meta({ description: 'Number of events, accounts, tokens or replicas.' }),
  share: z.number().min(0).max(1).optional().meta({ description: 'Of all events of their kind.' }),
  usualShare: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .meta({ description: 'The share of the hour before, if it is known.' }),
  host: z.string().optional().meta({ description: "The vendor's domain, or the server." }),
  reason: z
    .string()
    .optional()
    .meta({ description: 'The kind of failure, the code of an error, or keys with their replicas.' }),
  vendorCode: z.int().optional().meta({ description: "The vendor's result code." }),
  seconds: z.number().optional().meta({ description: 'How late, how far apart, or until the end.' }),
  replicas: z.array(z.string()).optional().meta({
    description: 'The replicas that it concerns. Missing: the one that answers, all, or it is not known which.',
  }),
  onlyDifferent: z.boolean().optional().meta({
    description: 'Whether each of `replicas` has another version or configuration than those without the finding.',
  }),
  since: instant,
  runbook: z.string().meta({ description: 'Where the documents say what to do.' }),
});

const replicaState = open({
  replica: z.string().meta({ description: 'Host name.' }),
  version: z.string(),
  startedAt: instant,
  findings: z.array(findingCode).nullable().meta({
    description: 'What this replica itself finds wrong; `null` if it has not told the others lately.',
  }),
  clockOffsetSeconds: z.number().nullable().meta({ description: "Its clock minus Redis's; `null` if not known." }),
  configuration: z.string().meta({
    description: 'A digest of its settings and secrets. Replicas with the same ones have the same digest.',
  }),
  missingSince: instant.nullable().meta({
    description: 'When a replica that did not shut down was last seen; `null` for a live one.',
  }),
});

const statusReport = open({
  version: z.string(),
  replica: z.string().meta({ description: 'Host name of the replica that answers.' }),
  at: instant.meta({ description: 'The time of this report.' }),
  startedAt: instant,
  findings: z.array(finding).meta({ description: 'What is wrong, the most urgent first. Empty when all is well.' }),
  replicas: z.array(replicaState).meta({
    description: 'The fleet: this replica first, then the others by name. While Redis is down: this one alone.',
  }),
  tokensEnded: count.meta({
    description: 'Tokens in use that ended without a renewal, in the last hour, over all replicas.',
  }),
  firstEndAt: instant.nullable().meta({
    description:
      'When the first token in use ends, unless it is renewed; `null` if there is none, or it is not known. Of the 50,000 ' +
      'tokens that are due first.',
  }),
  vendorDomains: z.array(
    open({
      host: z.string(),
      circuit: z.enum(['closed', 'half-open', 'open']).meta({ description: 'While `open`, no login is sent there.' }),
      clockOffsetSeconds: z.number().meta({ description: "The vendor's clock minus the clock of this host." }),
      ...contact,
    }),
  ),
  loginBudget: open({
    perSecond: z.number().nullable().meta({ description: '`VENDOR_MAX_RPS`; `null` without a limit.' }),
    used: z.number().nullable().meta({ description: 'The share that this replica used lately, from 0 to 1.' }),
    waiting: count.nullable().meta({ description: 'Logins of all replicas that wait for their place.' }),
  }).meta({ description: '`null`: there is no limit, or the store does not answer.' }),
  store: open({
    kind: z.enum(['redis', 'memory']),
    reachable: z.boolean().meta({ description: 'Whether the store answers now.' }),
    encryptionKeys: z.array(z.string()).meta({
      description: 'Ids of the keys in `TOKEN_ENCRYPTION_KEYS`. The first one encrypts, and each one decrypts.',
    }),
    ...contact,
  }),
  sessions: open({
    mode: z.string().meta({ description: '`SESSION_MODE`.' }),
    server: open(contact)
      .nullable()
      .meta({ description: 'The server that session checks need; `null` if they need none.' }),
  }),
  schedule: open({
    due: open({ now: count, in1h: count, in24h: count, in7d: count, in30d: count }).meta({
      description: 'Tokens that are due for a renewal, or end, within this time. Each includes the ones before it.',
    }),
    next24Hours: z.array(count).meta({ description: 'Tokens that fall due in each of the next 24 hours.' }),
    next30Days: z.array(count).meta({ description: 'The same for each of the next 30 days.' }),
    total: count,
    oldestOverdueSeconds: z.number().min(0).meta({
      description: 'A renewal that failed is due at its next try, within 8 minutes. Until then it is not overdue.',
    }),
  })
    .nullable()
    .meta({ description: 'Over all replicas; `null` if the store does not answer.' }),
  memory: open({ tokens: count, bytes: count }).meta({ description: "Tokens in this replica's memory." }),
  lastHour: open({
    from: instant.meta({ description: 'The start of the first minute.' }),
    reads: perMinute,
    renewals: perMinute,
    logins: perMinute,
    sessions: perMinute,
  }).meta({
    description:
      'What this replica counted: 61 counts in each list, for the last hour and the current minute. An outcome is the ' +
      'label of the metric, or the `code` of an error.',
  }),
  recentFailures: open({ requests: recentFailures, backgroundRenewals: recentFailures }).meta({
    description: 'Failures of this replica by `code`. The current minute comes on top.',
  }),
}).meta({ id: 'Status', description: 'The state of the service as this replica sees it. Nothing personal.' });

export type StatusReport = z.infer<typeof statusReport>;

const getStatus = {
  operationId: 'getStatus',
  summary: 'The state of the service',
  description:
    'What is wrong, the replicas, vendor domains, login budget, store, session server, due tokens and recent failures. ' +
    'It also answers while the store is down. A report answers all callers for one second.',
  tags: ['status'],
  querystring: noQuery,
  response: {
    200: responseWithBody('The state.', { schema: statusReport }),
    ...problemResponses(ADMIN_CALL_ERRORS.filter((code) => code !== 'store_unavailable')),
  },
};

export interface StatusRoutesOptions {
  readonly status: () => Promise<StatusReport>;
}

/** `GET /status`. */
export async function statusRoutes(app: FastifyInstance, options: StatusRoutesOptions): Promise<void> {
  app.get('/status', { schema: getStatus }, async (_request, reply) => reply.send(await options.status()));
}
