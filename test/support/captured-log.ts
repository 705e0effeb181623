import { type Logger, pino } from 'pino';
import { createLogger } from '../../src/logger.ts';

export interface CapturedLog {
  readonly logger: Logger;
  /** Every line so far, as it would have gone to standard output. */
  text(): string;
  lines(): Record<string, unknown>[];
}

/** The service's own logger, writing into memory. */
export function captureLog(level: string): CapturedLog {
  const written: string[] = [];
  const logger = createLogger(level);
  Object.assign(logger, { [pino.symbols.streamSym]: { write: (line: string) => written.push(line) } });
  return { logger, text: () => written.join(''), lines: () => written.map((line) => JSON.parse(line)) };
}
