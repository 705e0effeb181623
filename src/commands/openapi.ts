import { internalOpenApiDocument, openApiDocument } from '../http/openapi-document.ts';
import { type CommandContext, UsageError } from './command-line.ts';

/** The `openapi` command: the OpenAPI document of the public API, or of the internal one, as JSON. @throws UsageError */
export async function openapi(args: readonly string[], { version, out }: CommandContext): Promise<void> {
  const [flag, ...more] = args;
  if (more.length > 0 || (flag !== undefined && flag !== '--internal')) {
    throw new UsageError('openapi takes no arguments but --internal, for the document of the internal API');
  }
  const document = flag ? internalOpenApiDocument(version) : openApiDocument(version);
  out(JSON.stringify(await document, null, 2));
}
