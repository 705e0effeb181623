import type { JwtKey } from '../session/jwt-key.ts';
import type { RefreshPolicy } from '../token/refresh-policy.ts';
import { ConfigError, type Environment, type Problems, readVariables, required } from './environment.ts';
import { sessionKeyOf } from './session-key.ts';
import type { Values } from './variables.ts';

export interface Config {
  readonly logLevel: Values['LOG_LEVEL'];
  readonly http: {
    readonly host: string;
    readonly port: number;
    readonly apiDocs: boolean;
    readonly trustProxy: Values['TRUST_PROXY'];
  };
  readonly vendor: {
    readonly baseUrl: URL;
    readonly regionUrls: ReadonlyMap<string, URL>;
    readonly apps: ReadonlyMap<string, VendorAppConfig>;
    readonly timeoutMs: number;
  };
  readonly session: {
    readonly key: JwtKey;
    readonly issuer: string;
    readonly audience: string;
    readonly algorithms: readonly string[] | undefined;
    readonly claims: { readonly unionId: string; readonly region: string };
    readonly cacheSeconds: number;
  };
  /** Without it tokens are kept in this process. */
  readonly redis: RedisConfig | undefined;
  readonly defaultRegion: string | undefined;
  readonly refresh: RefreshPolicy;
  readonly cacheMaxBytes: number;
}

interface VendorAppConfig {
  readonly name: string;
  readonly appId: string;
  readonly appToken: string;
  readonly appKey: string;
  readonly accessId: string;
}

interface RedisConfig {
  readonly url: string;
  readonly keyPrefix: string;
  readonly encryptionKeys: readonly { readonly id: string; readonly key: Buffer }[];
}

/** Reads the configuration from the environment. @throws ConfigError */
export function loadConfig(environment: Environment): Config {
  const problems: Problems = new Map();
  const values = readVariables(environment, problems);
  const vendor = vendorOf(values, problems);
  const session = sessionOf(values, problems);
  const redis = redisOf(values, problems);
  if (problems.size > 0 || !vendor || !session) throw new ConfigError([...problems.values()]);
  return {
    logLevel: values.LOG_LEVEL,
    http: { host: values.HOST, port: values.PORT, apiDocs: values.API_DOCS, trustProxy: values.TRUST_PROXY },
    vendor,
    session,
    redis,
    defaultRegion: values.DEFAULT_REGION,
    refresh: { mode: values.REFRESH_MODE, share: values.REFRESH_AT, unreadLimit: values.REFRESH_UNREAD_LIMIT },
    cacheMaxBytes: values.CACHE_MAX_MB * 2 ** 20,
  };
}

/** The vendor's part alone, for commands that need nothing else. @throws ConfigError */
export function loadVendorConfig(environment: Environment): Config['vendor'] {
  const problems: Problems = new Map();
  const vendor = vendorOf(readVariables(environment, problems), problems);
  const own = [...problems].filter(([name]) => name.startsWith('VENDOR_')).map(([, problem]) => problem);
  if (own.length > 0 || !vendor) throw new ConfigError(own);
  return vendor;
}

function vendorOf(values: Values, problems: Problems): Config['vendor'] | undefined {
  const settings = required(
    values,
    ['VENDOR_BASE_URL', 'VENDOR_APP_ID', 'VENDOR_APP_TOKEN', 'VENDOR_APP_KEY'],
    problems,
  );
  if (!settings) return undefined;
  const app: VendorAppConfig = {
    name: 'default',
    appId: settings.VENDOR_APP_ID,
    appToken: settings.VENDOR_APP_TOKEN,
    appKey: settings.VENDOR_APP_KEY,
    accessId: values.VENDOR_ACCESS_ID ?? settings.VENDOR_APP_ID,
  };
  return {
    baseUrl: settings.VENDOR_BASE_URL,
    regionUrls: new Map(Object.entries(values.VENDOR_REGION_URLS)),
    apps: new Map([[app.name, app]]),
    timeoutMs: values.VENDOR_TIMEOUT_MS,
  };
}

function sessionOf(values: Values, problems: Problems): Config['session'] | undefined {
  const settings = required(values, ['SESSION_JWT_ISSUER', 'SESSION_JWT_AUDIENCE'], problems);
  const key = sessionKeyOf(values, problems);
  if (!settings || !key) return undefined;
  return {
    key,
    issuer: settings.SESSION_JWT_ISSUER,
    audience: settings.SESSION_JWT_AUDIENCE,
    algorithms: values.SESSION_JWT_ALGORITHMS,
    claims: { unionId: values.SESSION_CLAIM_UNION_ID, region: values.SESSION_CLAIM_REGION },
    cacheSeconds: values.SESSION_CACHE_SECONDS,
  };
}

function redisOf(values: Values, problems: Problems): RedisConfig | undefined {
  if (!values.REDIS_URL && !problems.has('REDIS_URL')) return undefined;
  const keys = values.TOKEN_ENCRYPTION_KEYS;
  if (keys === undefined && values.NODE_ENV === 'production' && !problems.has('TOKEN_ENCRYPTION_KEYS')) {
    problems.set(
      'TOKEN_ENCRYPTION_KEYS',
      'TOKEN_ENCRYPTION_KEYS is required in production with Redis: id:key with a 32-byte key in base64 ' +
        '(openssl rand -base64 32), or off to store tokens in the clear',
    );
  }
  if (!values.REDIS_URL) return undefined;
  const encryptionKeys = keys === undefined || keys === 'off' ? [] : keys;
  return { url: values.REDIS_URL, keyPrefix: values.REDIS_KEY_PREFIX, encryptionKeys };
}
