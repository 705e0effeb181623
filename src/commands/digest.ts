import { readConfigParts } from '../config/config.ts';
import { APP_NAME_PATTERN, accountId, subjectId, UNIQUE_ID_PATTERN } from '../token/subject.ts';
import { type CommandContext, parseFlags, UsageError } from './command-line.ts';

const HELP = `sdk-token-broker digest --union-id ID [--unique-id ID [--app NAME]]

Prints the digests that stand for an account and a terminal in the log and in Redis. Search the log for them. It sends
nothing, and it needs no configuration.

  --union-id ID   the account
  --unique-id ID  the phone. With TERMINAL_POLICY=single, it is the unionId
  --app NAME      the app (default: each app of VENDOR_APPS, or \`default\`)

The digest of a terminal (\`subject\`) begins with the digest of its account.`;

const OPTIONS = {
  'union-id': { type: 'string' },
  'unique-id': { type: 'string' },
  app: { type: 'string' },
} as const;

/** The `digest` command. @throws UsageError, HelpRequested */
export async function digest(args: readonly string[], { env, out }: CommandContext): Promise<void> {
  const { 'union-id': unionId, 'unique-id': uniqueId, app } = parseFlags(args, OPTIONS, HELP);
  if (!unionId) throw new UsageError(`--union-id is required\n\n${HELP}`);
  if (uniqueId !== undefined && uniqueId !== unionId && !UNIQUE_ID_PATTERN.test(uniqueId)) {
    throw new UsageError('--unique-id must be 1 to 128 visible ASCII characters');
  }
  if (app !== undefined && !APP_NAME_PATTERN.test(app)) {
    throw new UsageError('--app must be 1 to 64 of the characters A-Z a-z 0-9 . _ -');
  }
  out(`account  ${accountId(unionId)}`);
  if (uniqueId === undefined) return;
  const { vendor } = readConfigParts(env);
  const apps = app === undefined ? [...(vendor?.apps.keys() ?? ['default'])] : [app];
  for (const name of apps) out(`subject  ${subjectId({ app: name, unionId, uniqueId })}  (app ${name})`);
}
