import { loadVendorConfig } from '../config/config.ts';
import { systemClock } from '../token/clock.ts';
import { newNonce, prepareLogin } from '../vendor-api/signed-call.ts';
import { type CommandContext, parseFlags } from './command-line.ts';
import { chooseLogin, LOGIN_FLAGS_HELP, LOGIN_OPTIONS, readLogin } from './login-flags.ts';

const HELP = `sdk-token-broker sign --union-id ID --unique-id ID --region CC [--app NAME]

Prints one signed login: the string to sign, the headers and a curl line. Use it to settle the error 10007 with the
vendor. It reads the VENDOR_* settings from the environment and sends nothing.

${LOGIN_FLAGS_HELP}

The curl line is valid for five minutes. The curl line contains the appToken: do not share it. The appKey is not
printed.`;

/** The `sign` command. @throws UsageError, HelpRequested, ConfigError */
export async function sign(args: readonly string[], { env, out }: CommandContext): Promise<void> {
  const login = readLogin(parseFlags(args, LOGIN_OPTIONS, HELP), HELP);
  const { url, headers, body, stringToSign } = prepareLogin({
    ...chooseLogin(login, loadVendorConfig(env)),
    nonce: newNonce(),
    timestamp: Math.floor(systemClock.now() / 1000),
  });
  const headerLines = Object.entries({ Host: url.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  const curl = [
    `curl -sS ${quote(url.href)}`,
    ...headerLines.map((line) => `  -H ${quote(line)}`),
    `  --data-binary ${quote(body.toString())}`,
  ];
  out(`String to sign (HMAC-SHA1 with the appKey, then Base64):\n\n${stringToSign}\n`);
  out(`Headers:\n\n${headerLines.join('\n')}\n`);
  out(`curl:\n\n${curl.join(' \\\n')}`);
}

/** Quotes for a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
