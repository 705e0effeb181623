import type { VendorConfig } from '../config/config.ts';
import { ASSIGNED_REGION_PATTERN, UNIQUE_ID_PATTERN, UNIQUE_ID_RULE } from '../token/subject.ts';
import type { UnsignedLogin } from '../vendor-api/exchange.ts';
import { UsageError } from './command-line.ts';

/** The flags that describe a login, for `parseFlags`. */
export const LOGIN_OPTIONS = {
  'union-id': { type: 'string' },
  'unique-id': { type: 'string' },
  region: { type: 'string' },
  app: { type: 'string' },
} as const;

export const LOGIN_FLAGS_HELP = `\
  --union-id ID        the account
  --unique-id ID       the phone: ${UNIQUE_ID_RULE}
  --region CC          the country of the account, two upper-case letters
  --app NAME           the app, if VENDOR_APPS configures several (default: the first)`;

type LoginFlags = Readonly<Partial<Record<keyof typeof LOGIN_OPTIONS, string>>>;

/** Reads a login from the command line. Without `appName`, it is that of the first app. @throws UsageError */
export function readLogin(flags: LoginFlags, help: string) {
  const { 'union-id': unionId, 'unique-id': uniqueId = '', region = '', app: appName } = flags;
  if (!unionId) throw new UsageError(`--union-id is required\n\n${help}`);
  if (!UNIQUE_ID_PATTERN.test(uniqueId)) throw new UsageError(`--unique-id must be ${UNIQUE_ID_RULE}`);
  if (!ASSIGNED_REGION_PATTERN.test(region))
    throw new UsageError(
      '--region must be an assigned country code (ISO 3166-1 alpha-2), two upper-case letters like CN',
    );
  return { unionId, uniqueId, region, appName };
}

/** Finds the app and the domain in the configuration. @throws UsageError */
export function chooseLogin(
  login: ReturnType<typeof readLogin>,
  { apps, baseUrl, regionUrls }: VendorConfig,
): UnsignedLogin {
  const { unionId, uniqueId, region, appName = [...apps.keys()][0] ?? '' } = login;
  const app = apps.get(appName);
  if (!app) throw new UsageError(`--app must be one of ${[...apps.keys()].join(', ')}`);
  return { domain: regionUrls.get(region) ?? baseUrl, app, subject: { app: appName, unionId, uniqueId }, region };
}
