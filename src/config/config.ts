import type { AdminToken } from '../http/admin-access.ts';
import type { ForwardedSession } from '../http/credentials.ts';
import type { RedisStoreOptions } from '../store/redis/redis-store.ts';
import type { TracingOptions } from '../telemetry/tracing.ts';
import type { RefreshPolicy } from '../token/renewal-timing.ts';
import type { Text } from '../token/text.ts';
import type { VendorLoginOptions } from '../vendor-api/login.ts';
import type { VendorApp } from '../vendor-api/signed-call.ts';
import {
  ConfigError,
  configurationDigest,
  type Environment,
  type Problems,
  readVariables,
  required,
} from './environment.ts';
import { PROBLEMS, RANDOM_VALUE, SERVER_VALUE, VENDOR_VALUE } from './problems.ts';
import { readSessionConfig } from './session-config.ts';
import { areDifferent } from './value-schemas.ts';
import type { SecretName, Values } from './variables.ts';

/** The vendor's domains, the apps (at least one), the timeout of an attempt and the login budget. */
export interface VendorConfig
  extends Pick<VendorLoginOptions, 'baseUrl' | 'regionUrls' | 'timeoutMs' | 'maxPerSecond'> {
  readonly apps: ReadonlyMap<string, VendorApp>;
}

/** Where the tokens are, and the keys that encrypt them. */
export type RedisConfig = Pick<RedisStoreOptions, 'url' | 'keyPrefix' | 'encryptionKeys'>;

/** The names of the settings of each part of the configuration that commands use alone. */
const SETTINGS = {
  vendor: /^(VENDOR_|HTTPS?_PROXY$|NO_PROXY$)/,
  session: /^(SESSION_|HTTPS?_PROXY$|NO_PROXY$)/,
  store: /^(REDIS|TOKEN)_/,
  admin: /^ADMIN_/,
};

function problemsOf(part: keyof typeof SETTINGS, problems: Problems): string[] {
  return [...problems].filter(([name]) => SETTINGS[part].test(name)).map(([, { en }]) => en);
}

/** Never throws. `vendor`, `session`, `store` and `admin` are present if all their settings are valid. */
export function readConfigParts(environment: Environment) {
  const problems: Problems = new Map();
  const values = readVariables(environment, problems);
  const vendor = readVendorConfig(values, problems);
  const session = readSessionConfig(values, problems);
  const redis = readRedisConfig(values, problems);
  const tokens = readAdminTokens(values, problems);
  if (isProduction(values)) refuseGuessable(values, problems);
  const ifValid = <T>(part: keyof typeof SETTINGS, value: T) =>
    problemsOf(part, problems).length === 0 ? value : undefined;
  const { SESSION_FORWARD_HEADERS: headers, SESSION_FORWARD_COOKIES: cookies } = values;
  const forwardedSession: ForwardedSession | undefined =
    values.SESSION_MODE === 'forward' ? { headers, cookies } : undefined;
  return {
    values,
    /** They show no secret values. */
    problems,
    /** The headers and cookies of a session in mode `forward`. In other modes the session is a bearer token. */
    forwardedSession,
    defaultRegion: values.DEFAULT_REGION,
    /** The ways to the vendor, the session server and the published keys. */
    proxies: { HTTPS_PROXY: values.HTTPS_PROXY, HTTP_PROXY: values.HTTP_PROXY, NO_PROXY: values.NO_PROXY ?? [] },
    vendor: ifValid('vendor', vendor),
    session: ifValid('session', session),
    /** Without `redis`, the process keeps the tokens in its memory. */
    store: ifValid('store', { redis }),
    /** Without tokens, the internal API serves only health and metrics. */
    admin: ifValid('admin', {
      host: values.ADMIN_HOST,
      port: values.ADMIN_PORT,
      hostNames: [values.ADMIN_HOST.toLowerCase(), ...(values.ADMIN_HOST_NAMES ?? [])],
      tokens,
    }),
  };
}

export type ConfigParts = Readonly<ReturnType<typeof readConfigParts>>;

/** Reads the configuration from the environment. @throws ConfigError */
export function loadConfig(environment: Environment) {
  const { values, problems, vendor, session, store, admin, forwardedSession, defaultRegion, proxies } =
    readConfigParts(environment);
  if (problems.size > 0 || !vendor || !session || !store || !admin)
    throw new ConfigError([...problems.values()].map(({ en }) => en));
  return {
    /** See {@link configurationDigest}. */
    digest: configurationDigest({
      ...values,
      REFRESH_MODE: refreshModeOf(values),
      API_DOCS: showsApiDocs(values),
      VENDOR_ACCESS_ID: values.VENDOR_ACCESS_ID ?? values.VENDOR_APP_ID,
    }),
    logLevel: values.LOG_LEVEL,
    http: { host: values.HOST, port: values.PORT, apiDocs: showsApiDocs(values) },
    admin,
    vendor,
    session,
    forwardedSession,
    proxies,
    redis: store.redis,
    defaultRegion,
    /** `single`: one terminal per account, whatever uniqueId the app sends. */
    terminalPolicy: values.TERMINAL_POLICY,
    terminalsPerAccount: values.TERMINALS_PER_ACCOUNT,
    refresh: { mode: refreshModeOf(values), share: values.REFRESH_AT, unreadLimit: values.REFRESH_UNREAD_LIMIT },
    /** Requests per account, minute and replica; 0: no limit. */
    requestsPerMinute: values.RATE_LIMIT_PER_MINUTE,
    /** Logins and logouts per account and hour over all replicas; 0: no limit. */
    loginsPerHour: values.LOGIN_LIMIT_PER_HOUR,
    cacheMaxBytes: values.CACHE_MAX_MB * 2 ** 20,
    /** Without it, nothing is traced. */
    tracing: tracingFrom(values),
  };
}

export type Config = Readonly<ReturnType<typeof loadConfig>>;

/** Reads only the settings of the vendor. @throws ConfigError */
export function loadVendorConfig(environment: Environment): VendorConfig {
  const { vendor, problems } = readConfigParts(environment);
  if (!vendor) throw new ConfigError(problemsOf('vendor', problems));
  return vendor;
}

/** Reads only the settings of the Redis store. @throws ConfigError */
export function loadStoreConfig(environment: Environment): RedisConfig {
  const { store, values, problems } = readConfigParts(environment);
  required(values, ['REDIS_URL'], problems);
  if (!store?.redis) throw new ConfigError(problemsOf('store', problems));
  return store.redis;
}

/** @returns `undefined` without an endpoint, or if a standard variable of OpenTelemetry turns traces off */
function tracingFrom(values: Values): TracingOptions | undefined {
  const base = values.OTEL_EXPORTER_OTLP_ENDPOINT;
  const endpoint = values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base && tracesBelow(base));
  if (!endpoint || values.OTEL_TRACES_EXPORTER === 'none' || values.OTEL_SDK_DISABLED) return undefined;
  return {
    endpoint,
    headers: values.OTEL_EXPORTER_OTLP_HEADERS ?? {},
    serviceName: values.OTEL_SERVICE_NAME,
    resourceAttributes: values.OTEL_RESOURCE_ATTRIBUTES ?? {},
    sampler: values.OTEL_TRACES_SAMPLER,
    ratio: values.OTEL_TRACES_SAMPLER_ARG,
  };
}

function tracesBelow(base: URL): URL {
  const endpoint = new URL(base);
  endpoint.pathname = `${base.pathname.replace(/\/$/, '')}/v1/traces`;
  return endpoint;
}

/** With one terminal per account, a login may log out the user, so by default the broker makes no background logins. */
function refreshModeOf({ REFRESH_MODE: mode, TERMINAL_POLICY: policy }: Values): RefreshPolicy['mode'] {
  return mode ?? (policy === 'single' ? 'on-demand' : 'proactive');
}

function showsApiDocs(values: Values): boolean {
  return values.API_DOCS ?? !isProduction(values);
}

function readAdminTokens({ ADMIN_TOKEN: token, ADMIN_TOKENS: others = [] }: Values, problems: Problems): AdminToken[] {
  const tokens = token === undefined ? others : [{ name: 'default', token }, ...others];
  if (!areDifferent(tokens)) {
    problems.set('ADMIN_TOKENS', PROBLEMS.repeatedToken);
  }
  return tokens;
}

/** Whether the broker serves real users. A name that it does not know, such as `staging` or `prod`, counts as yes. */
export function isProduction({ NODE_ENV: name }: Values): boolean {
  return name !== 'development' && name !== 'test';
}

/** Secrets that stand in this project, for trying it out, and those of jwt.io. Everyone knows them. */
const PUBLISHED: ReadonlySet<string> = new Set([
  'only-for-trying-it-out',
  'b25seS1mb3ItdGhlLWRlbW8tbm90LWEtc2VjcmV0ISE=',
  'your-app-token',
  'your-app-key',
  'demo-app-token',
  'demo-app-key',
  'onlyForTryingItOut',
  'your-256-bit-secret',
  'a-string-secret-at-least-256-bits-long',
]);
/** A random secret of the shortest allowed length has many more. */
const MIN_DIFFERENT_CHARACTERS = 8;

interface SecretTexts {
  readonly texts: readonly (string | undefined)[];
  /** What to do instead of using a published one. */
  readonly fix: Text;
}

/** `undefined`: everyone may know it, or another party chose it together with an address. */
function secretsIn(values: Values): Readonly<Record<SecretName, SecretTexts | undefined>> {
  const chosen = (texts: SecretTexts['texts']) => ({ texts, fix: RANDOM_VALUE });
  const ofVendor = (texts: SecretTexts['texts']) => ({ texts, fix: VENDOR_VALUE });
  return {
    ADMIN_TOKEN: chosen([values.ADMIN_TOKEN]),
    ADMIN_TOKENS: chosen((values.ADMIN_TOKENS ?? []).map(({ token }) => token)),
    VENDOR_APP_TOKEN: ofVendor([values.VENDOR_APP_TOKEN]),
    VENDOR_APP_KEY: ofVendor([values.VENDOR_APP_KEY]),
    VENDOR_APPS: ofVendor(
      Object.values(values.VENDOR_APPS ?? {}).flatMap(({ appToken, appKey }) => [appToken, appKey]),
    ),
    SESSION_JWT_PUBLIC_KEY: undefined,
    SESSION_JWT_SECRET: chosen(values.SESSION_JWT_SECRET?.split(/\r?\n/) ?? []),
    SESSION_INTROSPECTION_CLIENT_SECRET: { texts: [values.SESSION_INTROSPECTION_CLIENT_SECRET], fix: SERVER_VALUE },
    REDIS_URL: undefined,
    TOKEN_ENCRYPTION_KEYS: chosen((values.TOKEN_ENCRYPTION_KEYS ?? []).map(({ key }) => key.toString('base64'))),
    OTEL_EXPORTER_OTLP_HEADERS: undefined,
  };
}

/** Refuses secrets that everyone knows, or that are no random text. */
function refuseGuessable(values: Values, problems: Problems): void {
  const isGuessable = (text = '') => text !== '' && new Set(text).size < MIN_DIFFERENT_CHARACTERS;
  for (const [name, secret] of Object.entries(secretsIn(values))) {
    const { texts, fix } = secret ?? { texts: [], fix: RANDOM_VALUE };
    if (fix === RANDOM_VALUE && texts.some(isGuessable)) problems.set(name, PROBLEMS.guessable(name));
    if (texts.some((text) => PUBLISHED.has(text ?? ''))) problems.set(name, PROBLEMS.published(name, fix));
  }
  const keys = values.TOKEN_ENCRYPTION_KEYS ?? [];
  const name = 'TOKEN_ENCRYPTION_KEYS';
  if (keys.some(({ key }) => isSequence(key)) && !problems.has(name)) problems.set(name, PROBLEMS.guessable(name));
}

/** Whether most bytes follow the ones before them, as in 1, 2, 3. */
function isSequence(key: Buffer): boolean {
  return key.subarray(1).filter((byte, at) => Math.abs(byte - (key[at] ?? 0)) <= 1).length > key.length / 2;
}

const SINGLE_APP = ['VENDOR_APP_ID', 'VENDOR_APP_TOKEN', 'VENDOR_APP_KEY'] as const;

/** @returns `undefined` if a required setting is missing or not valid; `problems` then names it */
function readVendorConfig(values: Values, problems: Problems): VendorConfig | undefined {
  const base = required(values, ['VENDOR_BASE_URL'], problems);
  const apps = readApps(values, problems);
  if (!base || !apps) return undefined;
  return {
    baseUrl: base.VENDOR_BASE_URL,
    regionUrls: new Map(Object.entries(values.VENDOR_REGION_URLS)),
    apps: new Map(
      Object.entries(apps).map(([name, app]) => [name, { ...app, name, accessId: app.accessId ?? app.appId }]),
    ),
    timeoutMs: values.VENDOR_TIMEOUT_MS,
    maxPerSecond: values.VENDOR_MAX_RPS,
  };
}

/** @returns the apps by their names */
function readApps(values: Values, problems: Problems): Values['VENDOR_APPS'] {
  const apps = values.VENDOR_APPS;
  if (problems.has('VENDOR_APPS')) return undefined;
  if (!apps) return readSingleApp(values, problems);
  const excluded = [...SINGLE_APP, 'VENDOR_ACCESS_ID' as const].filter((name) => values[name] !== undefined);
  if (excluded.length > 0) {
    problems.set('VENDOR_APPS', PROBLEMS.replacedByApps(excluded.join(', ')));
  }
  return apps;
}

function readSingleApp(values: Values, problems: Problems): Values['VENDOR_APPS'] {
  const app = required(values, SINGLE_APP, problems);
  if (!app) return undefined;
  const { VENDOR_APP_ID: appId, VENDOR_APP_TOKEN: appToken, VENDOR_APP_KEY: appKey } = app;
  return { default: { appId, appToken, appKey, accessId: values.VENDOR_ACCESS_ID } };
}

/** @returns `undefined` if `REDIS_URL` is not set or not valid */
function readRedisConfig(values: Values, problems: Problems): RedisConfig | undefined {
  if (!values.REDIS_URL && !problems.has('REDIS_URL')) return undefined;
  const keys = values.TOKEN_ENCRYPTION_KEYS;
  if (!keys && isProduction(values) && !problems.has('TOKEN_ENCRYPTION_KEYS')) {
    problems.set('TOKEN_ENCRYPTION_KEYS', PROBLEMS.noEncryptionKeys);
  }
  if (!values.REDIS_URL) return undefined;
  return { url: values.REDIS_URL, keyPrefix: values.REDIS_KEY_PREFIX, encryptionKeys: keys ?? [] };
}
