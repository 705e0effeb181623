import { type Logger, pino } from 'pino';
import { BrokerError } from './token/errors.ts';

/** What must not reach a log line even where somebody hands a whole object to the logger. */
const SECRET_NAMES = [
  'authorization',
  'cookie',
  'session',
  'accessToken',
  'appKey',
  'appToken',
  'unionId',
  'uniqueId',
  'body',
  'headers',
];

/** JSON lines on standard output: errors without bodies, headers or whatever else a library hung on them. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
    serializers: { err: describeError },
  });
}

interface DescribedError {
  readonly type: string;
  readonly code?: unknown;
  readonly message: string;
  readonly stack?: string | undefined;
  readonly cause?: DescribedError;
}

/** An expected error needs no stack: its code says where it comes from. */
function describeError(error: unknown): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: 'something that is not an Error was thrown' };
  return {
    type: error.name,
    ...('code' in error && { code: error.code }),
    message: error.message,
    ...(!(error instanceof BrokerError) && { stack: error.stack }),
    ...(error.cause !== undefined && { cause: describeError(error.cause) }),
  };
}
