import type { FastifyReply, FastifyRequest } from 'fastify';
import { type BrokerError, ERRORS } from '../token/errors.ts';
import { asBrokerError, problemAnswer } from './problem.ts';

/** Answers with the problem that tells of `thrown`, and logs it where it is ours to mend. */
export function replyWithProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = asBrokerError(thrown);
  logFailure(error, request);
  const { problem, headers } = problemAnswer(error, request.id);
  // A buffer, so that Fastify neither serialises it nor adds a charset the media type does not have.
  return reply
    .code(problem.status)
    .headers(headers)
    .send(Buffer.from(JSON.stringify(problem)));
}

function logFailure(error: BrokerError, request: FastifyRequest): void {
  const { status } = ERRORS[error.code];
  if (status < 500 || error.code === 'shutting_down') return;
  const { code, detail, vendorCode, cause: err } = error;
  const fields = { code, status, detail, vendorCode, route: request.routeOptions.url, err };
  if (status === 500) request.log.error(fields, 'request failed');
  else request.log.warn(fields, 'request failed');
}
