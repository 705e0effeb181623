import { writeSync } from 'node:fs';
import { type DestinationStream, destination, type Logger, type LoggerOptions, pino } from 'pino';
import { BrokerError } from './token/errors.ts';

/** Fields that a log line never shows, even if the code passes a whole object to the logger. */
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

/** Lines that wait until standard output takes them, in bytes. Those beyond are lost. */
const MAX_WAITING_BYTES = 2 ** 20;

let linesLost = 0;

/** Number of log lines of this process that were lost, because standard output did not take them. */
export function lostLogLines(): number {
  return linesLost;
}

/** Standard output. A full disk behind it, or a reader that stands still, stops nothing. Standard error says so. */
function standardOutput(): DestinationStream {
  // A full pipe is tried again with the next line. pino would stop the process until it is read.
  const output = destination({ dest: 1, sync: true, maxLength: MAX_WAITING_BYTES, retryEAGAIN: () => false });
  let isReported = false;
  const report = (reason: string): void => {
    if (isReported) return;
    isReported = true;
    try {
      writeSync(2, `The log cannot be written (${reason}). Lines are lost until it can be written again.\n`);
    } catch {
      // Standard error is on the same disk.
    }
  };
  output.on('drop', () => {
    linesLost += 1;
    report('too many lines wait');
  });
  // pino's own listener would give up a log whose reader has gone, and count nothing.
  output.removeAllListeners('error').on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (code !== 'EAGAIN') report(message);
  });
  return output;
}

/** Writes JSON lines, without the fields that libraries add to errors. @param fieldsOfLine of each line when written */
export function createLogger(level: string, fieldsOfLine?: () => object): Logger {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
    serializers: { err: describeError },
    ...(fieldsOfLine && { mixin: fieldsOfLine }),
  };
  return pino(options, standardOutput());
}

/** An expected fault needs no stack, and neither does its cause: its code shows its origin. */
function describeError(error: unknown): object {
  return describe(error, !(error instanceof BrokerError) || error.code === 'internal');
}

function describe(error: unknown, hasStack: boolean): object {
  if (!(error instanceof Error)) return { type: typeof error, message: 'the thrown value is not an Error' };
  return {
    type: error.name,
    ...('code' in error && { code: error.code }),
    message: error.message,
    ...(hasStack && error.stack && !(error instanceof BrokerError) && { stack: error.stack }),
    ...(error.cause !== undefined && { cause: describe(error.cause, hasStack) }),
  };
}
