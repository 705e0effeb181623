import * as z from 'zod';
import { ASSIGNED_REGION_PATTERN } from '../token/subject.ts';
import type { Text } from '../token/text.ts';
import * as schemas from './value-schemas.ts';

export interface Variable<T> {
  readonly schema: z.ZodType<T, string>;
  /** The allowed values, as the end of a sentence that begins with "X must be". */
  readonly allowed: Text;
  /** If there are few allowed values: these. */
  readonly values?: readonly string[];
  /** Of a whole number: the smallest and the largest. */
  readonly range?: readonly [min: number, max: number];
  readonly default?: string;
  /** Never shown. It may also come from a file whose path is in `X_FILE`. */
  readonly secret?: true;
  /** Not shown if it is not valid, because it may contain a password. */
  readonly isUrl?: true;
  /** Its name in lower case, which then takes precedence, is another name for it, as other programs have it. */
  readonly hasLowerCaseName?: true;
  /** Replicas with the same configuration may differ in it: each may name its own pod and node. */
  readonly replicasMayDiffer?: true;
}

/**
 * The modes of checking sessions. To add one, add it here. The compiler and `test/documents.test.ts` then name the
 * other places: the settings (`session-config.ts`), the verifier, the `check` command and the documents.
 */
export const SESSION_MODES = ['jwt', 'introspection', 'forward'] as const;

const LISTEN_ADDRESS = {
  schema: schemas.listenAddress,
  allowed: { en: 'an IP address or a host name to listen on', zh: '监听的 IP 地址或主机名' },
} as const;
const CLAIM = {
  schema: schemas.claimPath,
  allowed: {
    en: 'a claim name or a dotted path, without an empty part',
    zh: '声明的名称，或用点分隔的路径，各部分不能为空',
  },
} as const;
const IN_VISIBLE_ASCII: Text = {
  en: 'in visible ASCII characters without a space or a line break',
  zh: '只含可见的 ASCII 字符，不含空格和换行符',
};
/** See `isBare`. Holds for every setting that is neither secret nor JSON, and for secrets that say so. */
export const BARE: Text = {
  en: 'without white space, quotes or a byte order mark around it',
  zh: '前后没有空白、引号或字节顺序标记（BOM）',
};

function issuedSecret(name: 'appToken' | 'appKey') {
  const allowed: Text = {
    en: `the ${name} that the vendor issued, without control characters, such as the line break that echo adds, and ${BARE.en}`,
    zh: `厂商颁发的 ${name}，不含控制字符，例如 echo 加上的换行符，${BARE.zh}`,
  };
  return { schema: schemas.vendorSecret, allowed, secret: true } as const;
}

function condition(example: string) {
  const allowed: Text = {
    en: `a condition on the JSON answer, path=value[|value…], without an empty part, like ${example}`,
    zh: `对 JSON 响应的条件，path=value[|value…]，各部分不能为空，例如 ${example}`,
  };
  return { schema: schemas.answerCondition, allowed } as const;
}

function pairs(schema: typeof schemas.keyValues, example: string) {
  const allowed: Text = {
    en: `a comma-separated list like ${example}, with percent-encoded values`,
    zh: `用逗号分隔的列表，例如 ${example}，值需做 URL 编码`,
  };
  return { schema, allowed } as const;
}

const PROXY = {
  schema: schemas.proxyUrl,
  allowed: {
    en: 'the URL of an HTTP proxy, like http://user:password@proxy.example:3128, where user and password may be missing, and characters such as @ / : # ? % in them are percent-encoded; not of a SOCKS proxy',
    zh: 'HTTP 代理的 URL，例如 http://user:password@proxy.example:3128，可以没有用户名和密码，其中的 @ / : # ? % 等字符需做 URL 编码；不支持 SOCKS 代理',
  },
  isUrl: true,
  hasLowerCaseName: true,
} as const;

/** All environment variables of the service (docs/settings.md). */
export const VARIABLES = {
  NODE_ENV: { schema: schemas.text, allowed: { en: 'a word', zh: '一个单词' }, default: 'development' },
  HOST: { ...LISTEN_ADDRESS, default: '0.0.0.0', replicasMayDiffer: true },
  PORT: { ...schemas.wholeNumber(0, 65_535), default: '8080', replicasMayDiffer: true },
  ADMIN_HOST: { ...LISTEN_ADDRESS, default: '127.0.0.1', replicasMayDiffer: true },
  ADMIN_PORT: { ...schemas.wholeNumber(0, 65_535), default: '9090', replicasMayDiffer: true },
  ADMIN_HOST_NAMES: {
    schema: schemas.hostNames,
    allowed: {
      en: 'a comma-separated list of host names without a port, like broker.example.com',
      zh: '用逗号分隔的主机名，不含端口，例如 broker.example.com',
    },
    replicasMayDiffer: true,
  },
  ADMIN_TOKEN: {
    schema: z.string().regex(schemas.ADMIN_TOKEN_PATTERN),
    allowed: {
      en: 'at least 16 characters of A-Z a-z 0-9 - . _ ~ + / (the output of openssl rand -base64 32)',
      zh: '至少 16 个字符，只含 A-Z a-z 0-9 - . _ ~ + /（openssl rand -base64 32 的输出）',
    },
    secret: true,
  },
  ADMIN_TOKENS: {
    schema: schemas.adminTokens,
    allowed: {
      en: 'name:token[,name:token…] with different names (letters, digits, dots, underscores, hyphens) and different tokens, each with at least 16 characters of A-Z a-z 0-9 - . _ ~ + / (the output of openssl rand -base64 32)',
      zh: 'name:token[,name:token…]：名称互不相同（字母、数字、点、下划线、连字符），令牌互不相同，每个至少 16 个字符，只含 A-Z a-z 0-9 - . _ ~ + /（openssl rand -base64 32 的输出）',
    },
    secret: true,
  },
  LOG_LEVEL: {
    ...schemas.oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    default: 'info',
    replicasMayDiffer: true,
  },
  API_DOCS: schemas.flag,
  VENDOR_BASE_URL: {
    schema: schemas.vendorUrl,
    allowed: {
      en: 'the http(s) URL of the vendor domain assigned to you, without a password or a query in it',
      zh: '厂商分配给你的域名的 URL，以 http:// 或 https:// 开头，其中不能有密码和查询参数',
    },
    isUrl: true,
  },
  VENDOR_REGION_URLS: {
    schema: schemas.regionUrls,
    allowed: {
      en: 'a JSON object of http(s) URLs, without a password or a query in them, by assigned country code (GB, not UK), like {"CN":"https://cn.example"}',
      zh: 'JSON 对象，以已分配的国家代码（GB，不是 UK）为键、http(s) URL 为值，URL 中不能有密码和查询参数，例如 {"CN":"https://cn.example"}',
    },
    default: '{}',
    isUrl: true,
  },
  VENDOR_APP_ID: {
    schema: schemas.visibleAscii,
    allowed: {
      en: `the appId that the vendor issued (for several apps use VENDOR_APPS), ${IN_VISIBLE_ASCII.en}`,
      zh: `厂商颁发的 appId（有多个 App 时使用 VENDOR_APPS），${IN_VISIBLE_ASCII.zh}`,
    },
  },
  VENDOR_APP_TOKEN: issuedSecret('appToken'),
  VENDOR_APP_KEY: issuedSecret('appKey'),
  VENDOR_ACCESS_ID: {
    schema: schemas.visibleAscii,
    allowed: {
      en: `the value of the header X-IotVideo-AccessID, if the vendor issued one besides the appId, ${IN_VISIBLE_ASCII.en}`,
      zh: `请求头 X-IotVideo-AccessID 的值（如果厂商在 appId 之外另行颁发），${IN_VISIBLE_ASCII.zh}`,
    },
  },
  VENDOR_APPS: {
    schema: schemas.vendorApps,
    allowed: {
      en: `a JSON object of 1 to 64 apps by different names (letters, digits, dots, underscores, hyphens), like {"ios":{"appId":"…","appToken":"…","appKey":"…"}}, with accessId as the only other field, each appId and accessId ${IN_VISIBLE_ASCII.en}, and each appToken and appKey without control characters, and ${BARE.en}`,
      zh: `JSON 对象，以互不相同的名称（字母、数字、点、下划线、连字符）为键，含 1 到 64 个 App，例如 {"ios":{"appId":"…","appToken":"…","appKey":"…"}}，除此之外只能有字段 accessId；appId 和 accessId ${IN_VISIBLE_ASCII.zh}；appToken 和 appKey 不含控制字符，${BARE.zh}`,
    },
    secret: true,
  },
  VENDOR_MAX_RPS: { ...schemas.wholeNumber(0, 10_000), default: '10' },
  VENDOR_TIMEOUT_MS: { ...schemas.wholeNumber(100, 60_000), default: '5000' },
  SESSION_MODE: { ...schemas.oneOf(...SESSION_MODES), default: 'jwt' },
  SESSION_JWT_JWKS_URL: schemas.httpUrl({ en: 'of a JWK Set', zh: '发布公钥（JWK Set）的 URL' }),
  SESSION_JWT_PUBLIC_KEY: {
    schema: schemas.text,
    allowed: {
      en: 'a public key in PEM (SPKI, -----BEGIN PUBLIC KEY-----), or two while you replace it',
      zh: 'PEM 格式的公钥（SPKI，-----BEGIN PUBLIC KEY-----），轮换期间可以有两个',
    },
    secret: true,
  },
  SESSION_JWT_SECRET: {
    schema: schemas.sharedSecrets,
    allowed: {
      en: 'the shared HMAC secret, at least 32 bytes, or two on two lines while you replace it, without white space, quotes or a byte order mark around one',
      zh: `共享的 HMAC 密钥，至少 32 字节，轮换期间可以有两个，各占一行，${BARE.zh}`,
    },
    secret: true,
  },
  SESSION_JWT_ISSUER: {
    schema: schemas.text,
    allowed: { en: 'the `iss` claim of your sessions, or any', zh: '你的会话中声明 iss 的值，或 any' },
  },
  SESSION_JWT_AUDIENCE: {
    schema: schemas.text,
    allowed: { en: 'the `aud` claim of your sessions, or any', zh: '你的会话中声明 aud 的值，或 any' },
  },
  SESSION_JWT_ALGORITHMS: {
    schema: schemas.algorithms,
    allowed: { en: 'a comma-separated list of JWS algorithms, like ES256', zh: '用逗号分隔的 JWS 算法，例如 ES256' },
  },
  SESSION_CLAIM_UNION_ID: { ...CLAIM, default: 'sub' },
  SESSION_CLAIM_REGION: { ...CLAIM, default: 'region' },
  SESSION_CLAIM_APP: CLAIM,
  SESSION_CLAIM_ISSUED_AT: { ...CLAIM, default: 'iat' },
  SESSION_CLAIM_EXPIRES_AT: { ...CLAIM, default: 'exp' },
  SESSION_CLAIM_TIME_UNIT: { ...schemas.oneOf('s', 'ms'), default: 's' },
  SESSION_INTROSPECTION_URL: schemas.httpUrl({
    en: 'of the introspection endpoint (RFC 7662)',
    zh: 'introspection 端点（RFC 7662）的 URL',
  }),
  SESSION_INTROSPECTION_CLIENT_ID: {
    schema: schemas.text,
    allowed: { en: 'the client id of the broker at the OAuth server', zh: 'Broker 在 OAuth 服务器上的 client ID' },
  },
  SESSION_INTROSPECTION_CLIENT_SECRET: {
    schema: schemas.bareSecret,
    allowed: { en: `the client secret of the broker, ${BARE.en}`, zh: `Broker 的 client secret，${BARE.zh}` },
    secret: true,
  },
  SESSION_INTROSPECTION_AUDIENCE: {
    schema: schemas.text,
    allowed: { en: 'the `aud` of tokens that are meant for the broker', zh: '发给 Broker 的令牌的 aud' },
  },
  SESSION_INTROSPECTION_SCOPE: {
    schema: schemas.scopes,
    allowed: { en: 'the scopes that a token must have, separated by spaces', zh: '令牌必须具有的 scope，用空格分隔' },
  },
  SESSION_FORWARD_URL: schemas.httpUrl({ en: 'that returns the claims of a session', zh: '返回会话声明的 URL' }),
  SESSION_FORWARD_HEADERS: {
    schema: schemas.headerNames,
    allowed: {
      en: 'a comma-separated list of header names, like authorization,cookie, without host, accept, user-agent or the like',
      zh: '用逗号分隔的请求头名称，例如 authorization,cookie，不含 host、accept、user-agent 等',
    },
    default: 'authorization,cookie',
  },
  SESSION_FORWARD_COOKIES: {
    schema: schemas.cookieNames,
    allowed: {
      en: 'all, or a comma-separated list of cookie names, like PHPSESSID',
      zh: 'all，或用逗号分隔的 cookie 名称，例如 PHPSESSID',
    },
    default: 'all',
  },
  SESSION_FORWARD_ACCEPTED: condition('code=200'),
  SESSION_FORWARD_REFUSED: condition('code=401|403'),
  SESSION_CACHE_SECONDS: { ...schemas.wholeNumber(0, 3_600), default: '30' },
  HTTPS_PROXY: PROXY,
  HTTP_PROXY: PROXY,
  NO_PROXY: {
    schema: schemas.withoutProxy,
    allowed: {
      en: '* or a comma-separated list of host names (each with all names below it), IP addresses and networks, like localhost,example.com,10.0.0.0/8, without ports',
      zh: '* 或用逗号分隔的主机名（包括其所有子域名）、IP 地址和网段，例如 localhost,example.com,10.0.0.0/8，不含端口',
    },
    hasLowerCaseName: true,
  },
  DEFAULT_REGION: {
    schema: z.string().regex(ASSIGNED_REGION_PATTERN),
    allowed: {
      en: 'an assigned country code (ISO 3166-1 alpha-2), two capital letters',
      zh: '已分配的国家代码（ISO 3166-1 alpha-2），两个大写字母',
    },
  },
  REDIS_URL: {
    schema: schemas.redisUrl,
    allowed: {
      en: 'a redis:// or rediss:// URL, redis-sentinel://host:port,host:port/name or redis-cluster://host:port,host:port (with user:password@ before the hosts if needed, where characters such as @ / : # ? % are percent-encoded, and ?tls=true for TLS with the last two), without white space or quotes around it; without the setting, the process keeps the tokens in its memory',
      zh: 'redis:// 或 rediss:// 开头的 URL、redis-sentinel://host:port,host:port/name 或 redis-cluster://host:port,host:port（需要时在主机之前加 user:password@，其中 @ / : # ? % 等字符需做 URL 编码；后两种用 ?tls=true 启用 TLS），前后没有空白或引号；不设时令牌保存在进程内存中',
    },
    secret: true,
  },
  REDIS_KEY_PREFIX: {
    schema: z.string().regex(/^(?:[A-Za-z0-9._:-]{1,64}|\{[A-Za-z0-9._:-]{1,62}\})$/),
    allowed: {
      en: '1 to 64 letters, digits, dots, underscores, colons and hyphens; for a proxy of a cluster, in braces',
      zh: '1 到 64 个字母、数字、点、下划线、冒号或连字符；经集群代理连接时，放在花括号中',
    },
    default: 'sdkt',
  },
  TOKEN_ENCRYPTION_KEYS: {
    schema: schemas.encryptionKeys,
    allowed: {
      en: 'off, or id:key[,id:key…] with different ids and 32-byte keys in base64 (the output of openssl rand -base64 32)',
      zh: 'off，或 id:key[,id:key…]：id 互不相同，key 是 Base64 编码的 32 字节密钥（openssl rand -base64 32 的输出）',
    },
    secret: true,
  },
  TERMINAL_POLICY: { ...schemas.oneOf('multi', 'single'), default: 'multi' },
  TERMINALS_PER_ACCOUNT: { ...schemas.wholeNumber(1, 1_000), default: '20' },
  REFRESH_MODE: schemas.oneOf('proactive', 'on-demand'),
  REFRESH_AT: {
    schema: schemas.refreshShare,
    allowed: {
      en: 'two shares of a token’s life between 0 and 1, the smaller first, like 0.7-0.9',
      zh: '令牌有效期的两个比例，在 0 与 1 之间，小的在前，例如 0.7-0.9',
    },
    default: '0.7-0.9',
  },
  REFRESH_UNREAD_LIMIT: { ...schemas.wholeNumber(1, 255), default: '1' },
  RATE_LIMIT_PER_MINUTE: { ...schemas.wholeNumber(0, 1_000_000), default: '60' },
  LOGIN_LIMIT_PER_HOUR: { ...schemas.wholeNumber(0, 1_000_000), default: '60' },
  CACHE_MAX_MB: { ...schemas.wholeNumber(1, 2_048), default: '64' },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    ...schemas.httpUrl({
      en: 'of an OTLP/HTTP receiver, to which /v1/traces is added',
      zh: 'OTLP/HTTP 接收端的 URL（Broker 会加上 /v1/traces）',
    }),
    replicasMayDiffer: true,
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    ...schemas.httpUrl({
      en: 'to which traces are sent by OTLP/HTTP, with its path',
      zh: '通过 OTLP/HTTP 接收追踪数据的 URL，包含路径',
    }),
    replicasMayDiffer: true,
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    ...pairs(schemas.headerValues, 'api-key=secret'),
    secret: true,
    replicasMayDiffer: true,
  },
  OTEL_SERVICE_NAME: {
    schema: schemas.text,
    allowed: { en: 'the name of this service in traces', zh: '追踪数据中的服务名' },
    replicasMayDiffer: true,
  },
  OTEL_RESOURCE_ATTRIBUTES: {
    ...pairs(schemas.keyValues, 'deployment.environment.name=production'),
    replicasMayDiffer: true,
  },
  OTEL_TRACES_SAMPLER: {
    ...schemas.oneOf(
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ),
    default: 'parentbased_traceidratio',
    replicasMayDiffer: true,
  },
  OTEL_TRACES_SAMPLER_ARG: {
    schema: schemas.share,
    allowed: { en: 'a number from 0 to 1', zh: '0 到 1 的数' },
    default: '0.1',
    replicasMayDiffer: true,
  },
  OTEL_TRACES_EXPORTER: { ...schemas.oneOf('otlp', 'none'), default: 'otlp', replicasMayDiffer: true },
  OTEL_SDK_DISABLED: { ...schemas.flag, default: 'false', replicasMayDiffer: true },
} as const satisfies Record<string, Variable<unknown>>;

export type VariableName = keyof typeof VARIABLES;
export type SecretName = {
  [N in VariableName]: (typeof VARIABLES)[N] extends { readonly secret: true } ? N : never;
}[VariableName];
type Value<N extends VariableName> = z.output<(typeof VARIABLES)[N]['schema']>;
type HasDefault<N extends VariableName> = (typeof VARIABLES)[N] extends { readonly default: string } ? true : false;

/** The values of the variables. A variable with a default always has a value. */
export type Values = { [N in VariableName]: HasDefault<N> extends true ? Value<N> : Value<N> | undefined };
