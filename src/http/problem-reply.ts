import type { FastifyReply, FastifyRequest } from 'fastify';
import { type BrokerError, ERRORS } from '../token/errors.ts';
import { challengeFor } from './bearer.ts';
import { asBrokerError, problemAnswer } from './problem.ts';

export type ProblemReply = (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply;

/** Answers with the problem that tells of what was thrown, and logs it where it is ours to mend. */
export function problemReply(realm: string): ProblemReply {
  return (thrown, request, reply) => {
    const error = asBrokerError(thrown);
    logFailure(error, request);
    const { problem, headers } = problemAnswer(error, request.id);
    const challenge = challengeFor(error.code, realm);
    if (challenge !== undefined) reply.header('www-authenticate', challenge);
    // A buffer, so that Fastify neither serialises it nor adds a charset the media type does not have.
    return reply
      .code(problem.status)
      .headers(headers)
      .send(Buffer.from(JSON.stringify(problem)));
  };
}

function logFailure(error: BrokerError, request: FastifyRequest): void {
  const { status } = ERRORS[error.code];
  if (status < 500 || error.code === 'shutting_down') return;
  const { code, detail, vendorCode, cause: err } = error;
  const { id: requestId, routeOptions } = request;
  const fields = { requestId, code, status, detail, vendorCode, route: routeOptions.url, err };
  if (status === 500) request.log.error(fields, 'request failed');
  else request.log.warn(fields, 'request failed');
}
