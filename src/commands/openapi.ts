import { openApiDocument } from '../http/openapi-document.ts';
import type { Terminal } from './terminal.ts';

/** The `openapi` command: the public API's OpenAPI document as JSON. */
export async function openapi(_args: readonly string[], { version, out }: Terminal): Promise<void> {
  out(JSON.stringify(await openApiDocument(version), null, 2));
}
