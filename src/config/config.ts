import type { SessionOptions } from '../session/session-verifier.ts';
import type { RefreshPolicy } from '../token/renewal-timing.ts';
import { ConfigError, type Environment, type Problems, readVariables, required } from './environment.ts';
import { sessionOf } from './session-config.ts';
import type { Values } from './variables.ts';
import { type VendorConfig, vendorOf } from './vendor-config.ts';

export interface Config {
  readonly logLevel: Values['LOG_LEVEL'];
  readonly http: {
    readonly host: string;
    readonly port: number;
    readonly apiDocs: boolean;
  };
  readonly admin: {
    readonly host: string;
    readonly port: number;
    /** Without it the internal API serves health and metrics alone. */
    readonly token: string | undefined;
  };
  readonly vendor: VendorConfig;
  readonly session: SessionOptions;
  /** What of a request is its session, where that is not a bearer token. */
  readonly sessionHeaders: readonly string[] | undefined;
  /** Without it tokens are kept in this process. */
  readonly redis: RedisConfig | undefined;
  readonly defaultRegion: string | undefined;
  /** `single`: one terminal per account, whatever the app sends. */
  readonly terminalPolicy: Values['TERMINAL_POLICY'];
  readonly terminalsPerAccount: number;
  readonly refresh: RefreshPolicy;
  /** Of one account: reads of one replica, and logins over all of them; 0: no limit. */
  readonly requestsPerMinute: number;
  readonly cacheMaxBytes: number;
}

export interface RedisConfig {
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
    http: { host: values.HOST, port: values.PORT, apiDocs: values.API_DOCS },
    admin: { host: values.ADMIN_HOST, port: values.ADMIN_PORT, token: values.ADMIN_TOKEN },
    vendor,
    session,
    sessionHeaders: session.mode === 'forward' ? values.SESSION_FORWARD_HEADERS : undefined,
    redis,
    defaultRegion: values.DEFAULT_REGION,
    terminalPolicy: values.TERMINAL_POLICY,
    terminalsPerAccount: values.TERMINALS_PER_ACCOUNT,
    refresh: { mode: refreshModeOf(values), share: values.REFRESH_AT, unreadLimit: values.REFRESH_UNREAD_LIMIT },
    requestsPerMinute: values.RATE_LIMIT_PER_MINUTE,
    cacheMaxBytes: values.CACHE_MAX_MB * 2 ** 20,
  };
}

/** The vendor's part alone, for commands that need nothing else. @throws ConfigError */
export function loadVendorConfig(environment: Environment): VendorConfig {
  const problems: Problems = new Map();
  const vendor = vendorOf(readVariables(environment, problems), problems);
  return orRefuse(vendor, /^VENDOR_/, problems);
}

/** What is needed to reach the store and read it, for commands that need nothing else. @throws ConfigError */
export function loadStoreConfig(environment: Environment): RedisConfig {
  const problems: Problems = new Map();
  const values = readVariables(environment, problems);
  required(values, ['REDIS_URL'], problems);
  return orRefuse(redisOf(values, problems), /^(REDIS|TOKEN)_/, problems);
}

/** A part of the configuration, unless something is wrong with the settings it is made of. */
function orRefuse<T>(part: T | undefined, settings: RegExp, problems: Problems): T {
  const own = [...problems].filter(([name]) => settings.test(name)).map(([, problem]) => problem);
  if (own.length > 0 || !part) throw new ConfigError(own);
  return part;
}

/** With one terminal per account a login may kick somebody out, so by default none is made unasked. */
function refreshModeOf({ REFRESH_MODE: mode, TERMINAL_POLICY: policy }: Values): RefreshPolicy['mode'] {
  return mode ?? (policy === 'single' ? 'on-demand' : 'proactive');
}

/** Where tokens are kept; `undefined` without `REDIS_URL`, and where `problems` says what is wrong with it. */
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

/** A configuration taken apart: a part is there if none of its own settings is wrong. */
export interface ConfigParts {
  /** Every problem, in words that show no secret. */
  readonly problems: readonly string[];
  readonly vendor: VendorConfig | undefined;
  readonly session: SessionOptions | undefined;
  /** `redis` is undefined where tokens are to be kept in the process. */
  readonly store: { readonly redis: RedisConfig | undefined } | undefined;
  readonly publicAddress: Address | undefined;
  readonly admin: Config['admin'] | undefined;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Reads what can be read, for whoever looks at the parts one by one. Throws nothing. */
export function readConfigParts(environment: Environment): ConfigParts {
  const problems: Problems = new Map();
  const values = readVariables(environment, problems);
  const vendor = vendorOf(values, problems);
  const session = sessionOf(values, problems);
  const store = { redis: redisOf(values, problems) };
  const publicAddress = { host: values.HOST, port: values.PORT };
  const admin = { host: values.ADMIN_HOST, port: values.ADMIN_PORT, token: values.ADMIN_TOKEN };
  const sound = (settings: RegExp) => ![...problems.keys()].some((name) => settings.test(name));
  return {
    problems: [...problems.values()],
    vendor: sound(/^VENDOR_/) ? vendor : undefined,
    session: sound(/^SESSION_/) ? session : undefined,
    store: sound(/^(REDIS|TOKEN)_/) ? store : undefined,
    publicAddress: sound(/^(HOST|PORT)$/) ? publicAddress : undefined,
    admin: sound(/^ADMIN_/) ? admin : undefined,
  };
}
