import type { Environment } from '../config/environment.ts';

/** The command line is wrong: the message says how, and what is allowed. Ends the process with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Where a command reads from and writes to. */
export interface Terminal {
  readonly env: Environment;
  /** The service's version. */
  readonly version: string;
  readonly out: (line: string) => void;
  readonly err: (line: string) => void;
  /** Redraws the line the cursor is in; only where somebody watches. */
  readonly redraw: ((text: string) => void) | undefined;
}
