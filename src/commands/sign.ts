import { parseArgs } from 'node:util';
import { loadVendorConfig } from '../config/config.ts';
import { systemClock } from '../token/clock.ts';
import { newNonce, prepareLogin } from '../vendor-api/signed-call.ts';
import { LOGIN_OPTIONS, readLogin } from './login-flags.ts';
import { type Terminal, UsageError } from './terminal.ts';

const HELP = `sdk-token-broker sign --union-id ID --unique-id ID --region CC [--app NAME] [--nonce N] [--timestamp SECONDS]

Prints the string-to-sign, the headers and a curl line of one login, signed with the VENDOR_* settings of the
environment: to settle a 10007 with the vendor. The curl line works for five minutes. It holds the appToken, so keep
it to yourself; the appKey is in none of it.`;

const OPTIONS = {
  ...LOGIN_OPTIONS,
  nonce: { type: 'string' },
  timestamp: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** The `sign` command. @throws UsageError, ConfigError */
export async function sign(args: readonly string[], { env, out }: Terminal): Promise<void> {
  const flags = readFlags(args);
  if (flags.help) return out(HELP);
  const choose = readLogin(flags, HELP);

  const { url, host, headers, body, stringToSign } = prepareLogin({
    ...choose(loadVendorConfig(env)),
    nonce: wholeNumber('nonce', flags.nonce) ?? newNonce(),
    timestamp: wholeNumber('timestamp', flags.timestamp) ?? Math.floor(systemClock.now() / 1000),
  });
  const headerLines = Object.entries({ Host: host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  const curl = [
    `curl -sS ${quote(url.href)}`,
    ...headerLines.map((line) => `  -H ${quote(line)}`),
    `  --data-binary ${quote(body.toString())}`,
  ];
  out(`String to sign (HMAC-SHA1 with the appKey, then Base64):\n\n${stringToSign}\n`);
  out(`Headers:\n\n${headerLines.join('\n')}\n`);
  out(`curl:\n\n${curl.join(' \\\n')}`);
}

function readFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`--${name} must be a whole number above 0`);
  return Number(text);
}

/** For a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
