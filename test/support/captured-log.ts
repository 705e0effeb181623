import { type Logger, pino } from 'pino';
import { createLogger } from '../../src/logger.ts';

export interface CapturedLog {
  readonly logger: Logger;
  /** All lines so far, exactly as the logger would write them to standard output. */
  text(): string;
  lines(): Record<string, unknown>[];
}

/** Creates the service's own logger, but writes its lines into memory. */
export function captureLog(level: string): CapturedLog {
  const written: string[] = [];
  const logger = createLogger(level);
  Object.assign(logger, { [pino.symbols.streamSym]: { write: (line: string) => written.push(line) } });
  return { logger, text: () => written.join(''), lines: () => written.map((line) => JSON.parse(line)) };
}
