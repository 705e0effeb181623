import { fileURLToPath } from 'node:url';

/** The repository's root: where paths of programs are relative to. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
