import { hash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { BrokerError, ERRORS } from '../token/errors.ts';
import type { AdminRefusal, Observer } from '../token/observer.ts';
import type { AccountId, SubjectId } from '../token/subject.ts';
import { rateLimit } from './account-limit.ts';
import { bearerCredential } from './credentials.ts';
import { LogSampler } from './refusal-log.ts';
import { withSession } from './server/connections.ts';
import type { AppContext } from './server/request-hooks.ts';

/** A token of the internal API. */
export interface AdminToken {
  /** The name of the caller. It appears in the log. */
  readonly name: string;
  readonly token: string;
}

/** The tokens that the internal API accepts now. */
export class AdminTokens {
  #digests: readonly { readonly name: string; readonly digest: Buffer }[] = [];

  constructor(tokens: readonly AdminToken[]) {
    this.replace(tokens);
  }

  get isEmpty(): boolean {
    return this.#digests.length === 0;
  }

  replace(tokens: readonly AdminToken[]): void {
    this.#digests = tokens.map(({ name, token }) => ({ name, digest: digestOf(token) }));
  }

  /** The name of the caller with this token. It compares all tokens in constant time. */
  callerOf(sent: string): string | undefined {
    const digest = digestOf(sent);
    return this.#digests.filter((known) => timingSafeEqual(known.digest, digest))[0]?.name;
  }
}

/** All digests have the same length, which `timingSafeEqual` needs. */
function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The digests in the audit line. {@link audit} sets them. */
    audited: Readonly<Record<string, unknown>> | undefined;
  }
}

/** Names the accounts or the subjects that a call concerns in its audit line (docs/security.md, "Audit lines"). */
export function audit(request: FastifyRequest, kind: 'account', ids: readonly AccountId[]): void;
export function audit(request: FastifyRequest, kind: 'subject', ids: readonly SubjectId[]): void;
export function audit(request: FastifyRequest, kind: string, ids: readonly string[]): void {
  request.audited = ids.length === 1 ? { [kind]: ids[0] } : { [`${kind}s`]: ids };
}

/** Requests with a wrong token that get a 401, at once after a pause and per minute. The others get a 429. */
const WRONG_TOKENS_PER_MINUTE = 30;

export interface AdminAccessOptions extends Pick<AppContext, 'logger'> {
  readonly adminTokens: AdminTokens;
  readonly observer: Pick<Observer, 'adminRefused'>;
}

/**
 * Refuses the requests to this scope that lack an admin token, before Fastify reads their bodies. Each other request
 * leaves one audit line. A correct token is accepted however many wrong ones arrive.
 */
export function requireAdminToken(app: FastifyInstance, { adminTokens, observer, logger }: AdminAccessOptions): void {
  // Audit lines do not depend on the log level, unless the log is off.
  const log = logger.child({ audit: true }, { level: logger.level === 'silent' ? 'silent' : 'info' });
  const refusals = new LogSampler();
  const wrongTokenLimit = rateLimit(WRONG_TOKENS_PER_MINUTE, 1);
  const refusalOf = (reason: AdminRefusal): BrokerError => {
    if (reason === 'missing') {
      return new BrokerError('session_missing', { detail: 'Send Authorization: Bearer <ADMIN_TOKEN>' });
    }
    const retryAfter = wrongTokenLimit(reason);
    if (retryAfter === undefined) {
      return new BrokerError('session_invalid', { detail: 'The bearer token is no admin token' });
    }
    const detail = `Requests with a wrong token are limited to ${WRONG_TOKENS_PER_MINUTE} per minute`;
    return new BrokerError('rate_limited', { detail, retryAfter });
  };

  app.decorateRequest('audited');
  app.decorateRequest('hasRefusalLine');
  app.addHook('onRequest', (request, reply, done) => {
    const sent = bearerCredential(request.headers.authorization);
    const caller = sent === undefined ? undefined : adminTokens.callerOf(sent);
    const fields = { action: request.routeOptions.schema?.operationId, requestId: request.id };
    if (caller === undefined) {
      const reason = sent === undefined ? 'missing' : 'wrong';
      observer.adminRefused(reason);
      request.hasRefusalLine = true;
      const refusal = refusalOf(reason);
      const line = { ...fields, status: ERRORS[refusal.code].status, reason };
      refusals.add('refusal', (sampled) => log.warn({ ...line, ...sampled }, 'internal API call refused'));
      done(refusal);
      return;
    }
    withSession.add(request.raw.socket);
    // Fastify's onResponse does not run if the caller closes the connection before the answer.
    reply.raw.once('close', () => {
      const status = reply.raw.headersSent ? reply.statusCode : undefined;
      log.info({ caller, ...fields, ...request.audited, status }, 'internal API call');
    });
    done();
  });
  app.addHook('onClose', async () => refusals.end());
}
