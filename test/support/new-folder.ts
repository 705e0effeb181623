import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder. The end of the run deletes it: test/support/global-setup.ts. */
export function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'test-'));
}
