import { readStaticFile } from '../http/routes/pages.ts';
import { type CommandContext, UsageError } from './command-line.ts';

/** The `openapi` command: the OpenAPI document of the public API, or of the internal one, as JSON. @throws UsageError */
export async function openapi(args: readonly string[], { out }: CommandContext): Promise<void> {
  const [flag, ...more] = args;
  if (more.length > 0 || (flag !== undefined && flag !== '--internal')) {
    throw new UsageError('openapi takes no arguments but --internal, for the document of the internal API');
  }
  out(
    readStaticFile(flag ? 'internal.json' : 'openapi.json')
      .toString()
      .trimEnd(),
  );
}
