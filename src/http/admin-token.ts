import { hash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { BrokerError } from '../token/errors.ts';
import { bearerCredential } from './bearer.ts';

/** Refuses requests to this scope that do not come with the token, before their bodies are read. */
export function requireAdminToken(app: FastifyInstance, adminToken: string): void {
  const expected = digest(adminToken);
  app.addHook('onRequest', (request, _reply, done) => {
    const sent = bearerCredential(request.headers.authorization);
    if (sent === undefined) {
      done(new BrokerError('session_missing', { detail: 'Send Authorization: Bearer <ADMIN_TOKEN>' }));
    } else if (!timingSafeEqual(digest(sent), expected)) {
      done(new BrokerError('session_invalid', { detail: 'The bearer token is not the ADMIN_TOKEN' }));
    } else {
      done();
    }
  });
}

/** Of one length, as the comparison needs it. */
function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
