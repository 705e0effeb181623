import { readStaticFile } from '../http/routes/pages.ts';
import { type CommandContext, parseFlags } from './command-line.ts';

const HELP = `sdk-token-broker openapi [--internal]

Prints the OpenAPI document of the public API; with --internal, of the internal API.`;

/** The `openapi` command. @throws UsageError, HelpRequested */
export async function openapi(args: readonly string[], { out }: CommandContext): Promise<void> {
  const { internal } = parseFlags(args, { internal: { type: 'boolean' } }, HELP);
  const document = readStaticFile(internal ? 'internal.json' : 'openapi.json');
  out(document.toString().trimEnd());
}
