import { internalOpenApiDocument, openApiDocument } from '../http/openapi-document.ts';
import { type CommandContext, parseFlags } from './command-line.ts';

const HELP = `sdk-token-broker openapi [--internal]

Prints the OpenAPI document of the public API; with --internal, of the internal API.`;

/** The `openapi` command. @throws UsageError, HelpRequested */
export async function openapi(args: readonly string[], { version, out }: CommandContext): Promise<void> {
  const { internal } = parseFlags(args, { internal: { type: 'boolean' } }, HELP);
  const document = internal ? internalOpenApiDocument(version) : openApiDocument(version);
  out(JSON.stringify(await document, null, 2));
}
