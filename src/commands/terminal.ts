import type { Environment } from '../config/environment.ts';

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
