import type { VariableName } from '../../src/config/variables.ts';
import type { Language, Texts } from './language.ts';

/**
 * The groups of settings in the order of the documents. Each is a marked section of docs/settings.md, `settings-NAME`,
 * and a part of .env.example with this title.
 */
export const GROUPS = {
  process: { en: 'Process', zh: '进程' },
  'internal-api': { en: 'Internal API', zh: '内部 API' },
  vendor: { en: 'Vendor', zh: '厂商' },
  sessions: { en: 'Sessions', zh: '会话' },
  proxies: { en: 'Proxies', zh: '代理' },
  store: { en: 'Token store', zh: '令牌存储' },
  terminals: { en: 'Terminals', zh: '终端' },
  renewal: { en: 'Renewal', zh: '刷新' },
  limits: { en: 'Limits', zh: '限制' },
  tracing: {
    en: 'Tracing: the standard variables of OpenTelemetry',
    zh: '链路追踪：OpenTelemetry 的标准变量',
  },
} as const satisfies Record<string, Texts>;
export type SettingGroup = keyof typeof GROUPS;

/** What stands in place of a default: when the broker does not start without the setting. */
export const REQUIRED = {
  always: { en: 'required', zh: '必填' },
  oneApp: { en: 'required unless `VENDOR_APPS`', zh: '必填，除非设置了 `VENDOR_APPS`' },
  jwt: { en: 'required with `jwt`', zh: '`jwt` 模式必填' },
  oneOfThree: { en: 'one of three with `jwt`', zh: '`jwt` 模式三选一' },
  introspection: { en: 'required with `introspection`', zh: '`introspection` 模式必填' },
  forward: { en: 'required with `forward`', zh: '`forward` 模式必填' },
  encryption: { en: 'required in `production` with Redis', zh: '`production` 且使用 Redis 时必填' },
} as const satisfies Record<string, Texts>;

interface SettingText extends Texts {
  readonly group: SettingGroup;
  readonly required?: keyof typeof REQUIRED;
  /** .env.example sets it to this value. Without it, the setting is commented out there. */
  readonly example?: string;
}

/**
 * One text for each setting and language, for docs/settings.md and .env.example. The compiler refuses a setting without
 * one.
 */
export const SETTINGS: Readonly<Record<VariableName, SettingText>> = {
  NODE_ENV: {
    group: 'process',
    en: '`production` requires encryption of the tokens in Redis, refuses secrets that are published or easy to guess, and switches `/docs` off. The container image sets it. Only `development` and `test` do not count as `production`',
    zh: '`production` 要求加密 Redis 中的令牌，拒绝已公开或容易猜到的密钥，并关闭 `/docs`。容器镜像已设为 `production`。除 `development` 和 `test` 外，其他值一律视为 `production`',
  },
  HOST: { group: 'process', en: 'address of the public API', zh: '公开 API 的监听地址' },
  PORT: { group: 'process', en: 'port of the public API; 0: any free port', zh: '公开 API 的端口；0：任意空闲端口' },
  ADMIN_HOST: {
    group: 'internal-api',
    en: 'address of the internal API. The internet must never reach it',
    zh: '内部 API 的监听地址。绝不能让互联网访问到它',
  },
  ADMIN_PORT: { group: 'internal-api', en: 'port of the internal API', zh: '内部 API 的端口' },
  ADMIN_HOST_NAMES: {
    group: 'internal-api',
    en: 'the names under which your programs and browsers call the internal API, if they have a public domain. It refuses such names otherwise: a web page could resolve its own name to the address of the broker (DNS rebinding). It always answers to `ADMIN_HOST`, IP addresses, names without a dot, and names below `svc`, `cluster.local`, `internal` and `localhost`',
    zh: '你的程序和浏览器访问内部 API 时使用的公网域名。未列出的公网域名会被拒绝，因为网页可以把自己的域名解析到 Broker 的地址（DNS 重绑定）。`ADMIN_HOST` 的值、IP 地址、不含点的名称，以及 `svc`、`cluster.local`、`internal`、`localhost` 之下的名称始终可用',
  },
  ADMIN_TOKEN: {
    group: 'internal-api',
    en: 'bearer token of its callers, at least 16 characters: the output of `openssl rand -base64 32`. The log calls this caller `default`. Without a token, the internal API serves only health and metrics',
    zh: '调用方使用的 Bearer 令牌，至少 16 个字符：取 `openssl rand -base64 32` 的输出。日志中该调用方名为 `default`。不设令牌时，内部 API 只提供健康检查和指标',
  },
  ADMIN_TOKENS: {
    group: 'internal-api',
    en: 'besides or instead, one token for each caller, so that you can replace one alone: `name:token[,name:token…]`',
    zh: '可与上一项并用，也可替代它：每个调用方一个令牌，便于单独轮换：`name:token[,name:token…]`',
  },
  LOG_LEVEL: {
    group: 'process',
    en: 'least severe level that is logged. With `debug`, the log has a line for each request',
    zh: '记录日志的最低级别。设为 `debug` 时，每个请求一行日志',
  },
  API_DOCS: {
    group: 'process',
    en: 'whether the public API serves `/docs` and `/openapi.json`. Without it: `true`, and `false` in `production`',
    zh: '公开 API 是否提供 `/docs` 和 `/openapi.json`。不设时为 `true`；在 `production` 中为 `false`',
  },
  VENDOR_BASE_URL: {
    group: 'vendor',
    required: 'always',
    example: 'https://vendor.example',
    en: 'the vendor domain assigned to you. Use `https://`, because a login contains your appToken',
    zh: '厂商分配给你的域名。请用 `https://`，因为登录请求中包含 appToken',
  },
  VENDOR_REGION_URLS: {
    group: 'vendor',
    en: 'other vendor domains by country (ISO 3166-1), as JSON: `{"CN":"https://cn.vendor.example"}`',
    zh: '按国家（ISO 3166-1）指定其他厂商域名，JSON 格式：`{"CN":"https://cn.vendor.example"}`',
  },
  VENDOR_APP_ID: {
    group: 'vendor',
    required: 'oneApp',
    example: 'your-app-id',
    en: 'the appId that the vendor issued. With its token and key it is the only app, named `default`. Visible ASCII characters without spaces',
    zh: '厂商颁发的 appId。它与 appToken、appKey 三者组成一个名为 `default` 的 App。只能含可见的 ASCII 字符，不能含空格',
  },
  VENDOR_APP_TOKEN: {
    group: 'vendor',
    required: 'oneApp',
    example: 'your-app-token',
    en: 'its appToken, without control characters',
    zh: '对应的 appToken，不能含控制字符',
  },
  VENDOR_APP_KEY: {
    group: 'vendor',
    required: 'oneApp',
    example: 'your-app-key',
    en: 'its appKey, the key of the signatures, without control characters',
    zh: '对应的 appKey，用于签名，不能含控制字符',
  },
  VENDOR_ACCESS_ID: {
    group: 'vendor',
    en: 'the value of the header `X-IotVideo-AccessID`, in visible ASCII characters without spaces. Without it: the appId',
    zh: '请求头 `X-IotVideo-AccessID` 的值，只能含可见的 ASCII 字符，不能含空格。不设时用 appId',
  },
  VENDOR_APPS: {
    group: 'vendor',
    en: 'several apps by name, in place of these four settings: `{"ios":{"appId":"…","appToken":"…","appKey":"…"},"android":{…}}`. Each app may also have an `accessId`. The same characters are allowed as in these settings',
    zh: '按名称配置多个 App，替代以上四项：`{"ios":{"appId":"…","appToken":"…","appKey":"…"},"android":{…}}`。每个 App 还可以有 `accessId`。允许的字符与以上各项相同',
  },
  VENDOR_MAX_RPS: {
    group: 'vendor',
    en: 'vendor logins per second on average at most, over all replicas; in one second a tenth more, at least one more; 0: no limit',
    zh: '所有副本合计，平均每秒向厂商登录的次数上限；单独一秒内最多可多十分之一，且至少可多 1 次；0：不限',
  },
  VENDOR_TIMEOUT_MS: {
    group: 'vendor',
    en: 'timeout of one login attempt in ms, from the connection to the last byte. A login may take twice as long and 2 s more: it waits for its turn, and has a second attempt if the first answer is lost. Above 6000, [a restart may cut a login off](production.md#in-kubernetes)',
    zh: '一次登录尝试的超时（毫秒），从建立连接到收完最后一个字节。一次登录最长用时为此值的 2 倍加 2 秒：登录要排队，第一次的响应丢失时还会再尝试一次。超过 6000 时，[重启可能中断登录](production.md#in-kubernetes)',
  },
  SESSION_MODE: {
    group: 'sessions',
    en: 'how the broker checks a session: a signed JWT, a question to your OAuth server, or a question to your cloud. [Integrate your cloud](integrate-your-cloud.md) describes the three modes',
    zh: 'Broker 如何校验会话：自行验证签名的 JWT、向你的 OAuth 服务器校验，或由你的云的一个 URL 校验。三种模式见[接入你的云](integrate-your-cloud.md)',
  },
  SESSION_JWT_JWKS_URL: {
    group: 'sessions',
    required: 'oneOfThree',
    example: 'https://accounts.example/.well-known/jwks.json',
    en: 'the URL where your cloud publishes its public keys, 100 at most',
    zh: '你的云发布公钥（JWKS）的 URL，最多 100 个密钥',
  },
  SESSION_JWT_PUBLIC_KEY: {
    group: 'sessions',
    required: 'oneOfThree',
    en: 'or a public key in PEM; two [while you replace it](key-rotation.md#the-key-of-the-sessions)',
    zh: '或一个 PEM 格式的公钥；[轮换期间](key-rotation.md#the-key-of-the-sessions)可以有两个',
  },
  SESSION_JWT_SECRET: {
    group: 'sessions',
    required: 'oneOfThree',
    en: 'or a shared HMAC secret of at least 32 bytes; two on two lines [while you replace it](key-rotation.md#the-key-of-the-sessions)',
    zh: '或一个共享的 HMAC 密钥，至少 32 字节；[轮换期间](key-rotation.md#the-key-of-the-sessions)可以有两个，各占一行',
  },
  SESSION_JWT_ISSUER: {
    group: 'sessions',
    required: 'jwt',
    example: 'https://accounts.example',
    en: 'the claim `iss` must be this value. `any`: [the broker does not look at it](integrate-your-cloud.md#sessions-without-an-issuer-or-an-audience)',
    zh: '声明 `iss` 必须等于此值。`any`：[Broker 不检查该声明](integrate-your-cloud.md#sessions-without-an-issuer-or-an-audience)',
  },
  SESSION_JWT_AUDIENCE: {
    group: 'sessions',
    required: 'jwt',
    example: 'sdk-token-broker',
    en: 'the claim `aud` must be or contain this value. `any`: the same as with the issuer',
    zh: '声明 `aud` 必须等于或包含此值。`any`：与上一项相同',
  },
  SESSION_JWT_ALGORITHMS: {
    group: 'sessions',
    en: '`jwt`: the algorithms to accept, for example `ES256,RS256`. Without it: all that fit the key',
    zh: '`jwt`：接受的算法，例如 `ES256,RS256`。不设时接受与密钥匹配的所有算法',
  },
  HTTPS_PROXY: {
    group: 'proxies',
    en: 'the proxy for `https:` URLs, by tunnels (CONNECT)',
    zh: '访问 `https:` URL 所用的代理（CONNECT 隧道）',
  },
  HTTP_PROXY: {
    group: 'proxies',
    en: 'the proxy for `http:` URLs, which forwards the requests',
    zh: '访问 `http:` URL 所用的代理，由它转发请求',
  },
  NO_PROXY: {
    group: 'proxies',
    en: 'servers that the broker reaches without a proxy: `*`, or host names with all names below them, IP addresses and networks',
    zh: '不经过代理直接访问的服务器：`*`，或主机名（包括其所有子域名）、IP 地址和网段',
  },
  SESSION_CLAIM_UNION_ID: {
    group: 'sessions',
    en: 'the claim with the account: a name or a dotted path. `0`, `-1`, `null`, `undefined` and `anonymousUser` [are no account](integrate-your-cloud.md#what-a-session-must-say)',
    zh: '账号取自哪个声明：名称，或用点分隔的路径。`0`、`-1`、`null`、`undefined` 和 `anonymousUser` [不是账号](integrate-your-cloud.md#what-a-session-must-say)',
  },
  SESSION_CLAIM_REGION: { group: 'sessions', en: 'the claim with its country', zh: '账号所属国家取自哪个声明' },
  SESSION_CLAIM_APP: {
    group: 'sessions',
    en: 'the claim with the app that the session is bound to, by its name in `VENDOR_APPS`. Without it, a session is valid for every app',
    zh: '会话绑定的 App 取自哪个声明，其值是 `VENDOR_APPS` 中的名称。不设时，会话对所有 App 有效',
  },
  SESSION_CLAIM_ISSUED_AT: {
    group: 'sessions',
    en: 'the claim with the time of issue: a name or a dotted path. Without it in a session, [an erased account](integrate-your-cloud.md#erase-an-account) cannot log in again',
    zh: '签发时间取自哪个声明：名称，或用点分隔的路径。会话中没有它时，[已注销的账号](integrate-your-cloud.md#erase-an-account)无法再次登录',
  },
  SESSION_CLAIM_EXPIRES_AT: {
    group: 'sessions',
    en: 'the claim with the end of the session: a name or a dotted path. Required in a session with `jwt`',
    zh: '会话的过期时间取自哪个声明：名称，或用点分隔的路径。`jwt` 模式下会话必须有它',
  },
  SESSION_CLAIM_TIME_UNIT: {
    group: 'sessions',
    en: 'the unit of these two times: seconds or milliseconds since 1970. The broker refuses a time that cannot be of this unit',
    zh: '以上两个时间的单位：自 1970 年起的秒或毫秒。不可能属于该单位的时间会被拒绝',
  },
  SESSION_INTROSPECTION_URL: {
    group: 'sessions',
    required: 'introspection',
    en: 'the introspection endpoint of your OAuth server',
    zh: '你的 OAuth 服务器的 introspection 端点',
  },
  SESSION_INTROSPECTION_CLIENT_ID: {
    group: 'sessions',
    required: 'introspection',
    en: 'the client id of the broker at that server',
    zh: 'Broker 在该服务器上的 client ID',
  },
  SESSION_INTROSPECTION_CLIENT_SECRET: {
    group: 'sessions',
    required: 'introspection',
    en: 'its client secret',
    zh: '对应的 client secret',
  },
  SESSION_INTROSPECTION_AUDIENCE: {
    group: 'sessions',
    en: '`introspection`: the claim `aud` must be or contain this value. Without this setting and the next one, the broker warns at the start',
    zh: '`introspection`：声明 `aud` 必须等于或包含此值。若此项和下一项都不设，Broker 启动时会警告',
  },
  SESSION_INTROSPECTION_SCOPE: {
    group: 'sessions',
    en: '`introspection`: the scopes that a token must have, separated by spaces',
    zh: '`introspection`：令牌必须具有的 scope，用空格分隔',
  },
  SESSION_FORWARD_URL: {
    group: 'sessions',
    required: 'forward',
    en: 'the URL of your cloud that answers with the claims of a session',
    zh: '你的云用来返回会话声明的 URL',
  },
  SESSION_FORWARD_HEADERS: {
    group: 'sessions',
    en: '`forward`: the headers of the app’s request that the broker sends to this URL',
    zh: '`forward`：Broker 把 App 请求中的哪些请求头转发到该 URL',
  },
  SESSION_FORWARD_COOKIES: {
    group: 'sessions',
    en: '`forward`: the names of the cookies that make up the session, separated by commas. The broker sends only these',
    zh: '`forward`：组成会话的 cookie 名称，用逗号分隔。Broker 只转发这些 cookie',
  },
  SESSION_FORWARD_ACCEPTED: {
    group: 'sessions',
    en: '`forward`, if your cloud [always answers 200](integrate-your-cloud.md#if-your-cloud-always-answers-200): the condition of an accepted session, `path=value`, for example `code=200`. Without it, the HTTP status decides',
    zh: '`forward`，且你的云[总是返回 200](integrate-your-cloud.md#if-your-cloud-always-answers-200) 时：接受会话的条件，`path=value`，例如 `code=200`。不设时由 HTTP 状态码决定',
  },
  SESSION_FORWARD_REFUSED: {
    group: 'sessions',
    en: '`forward`: the condition of a refused session, for example `code=401`. If an answer meets neither condition, the check has no result',
    zh: '`forward`：拒绝会话的条件，例如 `code=401`。两个条件都不满足的响应视为无法判定',
  },
  SESSION_CACHE_SECONDS: {
    group: 'sessions',
    en: 'how long the broker accepts a session without a new check, in seconds; 0: it checks each request',
    zh: '会话通过校验后，多少秒内不再校验；0：每个请求都校验',
  },
  DEFAULT_REGION: {
    group: 'sessions',
    en: 'the country of an account that neither the session nor the app names: an ISO 3166-1 code of two capital letters',
    zh: '会话和 App 都没有给出国家时，账号所属的国家：ISO 3166-1 两位大写字母代码',
  },
  REDIS_URL: {
    group: 'store',
    en: 'the Redis of all replicas: [four forms of the URL](production.md#redis). Without it, the process keeps the tokens in its memory: then run exactly one replica',
    zh: '所有副本共用的 Redis：[四种 URL 写法](production.md#redis)。不设时令牌保存在进程内存中：此时只能运行一个副本',
  },
  REDIS_KEY_PREFIX: {
    group: 'store',
    en: 'the prefix of every key: 1 to 64 letters, digits, dots, underscores, colons and hyphens. In braces, all keys are in one slot of a cluster: [for its proxy](production.md#redis-as-a-service)',
    zh: 'Redis 中所有键的前缀：1 到 64 个字母、数字、点、下划线、冒号或连字符。放在花括号中时，所有键都在集群的同一个槽中：[用于集群代理](production.md#redis-as-a-service)',
  },
  TOKEN_ENCRYPTION_KEYS: {
    group: 'store',
    required: 'encryption',
    en: '`id:key[,id:key…]`: you choose the `id`; each `key` is the output of `openssl rand -base64 32`. The first key encrypts, all keys decrypt: [rotate keys](key-rotation.md). Or `off`',
    zh: '`id:key[,id:key…]`：`id` 由你决定；每个 `key` 取 `openssl rand -base64 32` 的输出。第一个密钥用于加密，所有密钥都可解密：见[轮换密钥](key-rotation.md)。或设为 `off`',
  },
  TERMINAL_POLICY: {
    group: 'terminals',
    en: '`multi`: one token for each phone. `single`: one token for the account, whatever `uniqueId` the app sends',
    zh: '`multi`（多端登录）：每部手机一个令牌。`single`（单端登录）：每个账号一个令牌，不论 App 发送什么 `uniqueId`',
  },
  TERMINALS_PER_ACCOUNT: {
    group: 'terminals',
    en: 'maximum number of phones of an account with a valid token',
    zh: '一个账号最多有多少部手机持有有效令牌',
  },
  REFRESH_MODE: {
    group: 'renewal',
    en: '`proactive`: the broker renews in the background. `on-demand`: it renews only when an app reads a token that is due. Without it: `proactive` for `multi`, `on-demand` for `single`, where a login may log another phone out',
    zh: '`proactive`：后台刷新。`on-demand`：只在 App 读取待刷新的令牌时刷新。不设时，`multi` 为 `proactive`，`single` 为 `on-demand`，因为单端登录时一次登录可能使另一部手机下线',
  },
  REFRESH_AT: {
    group: 'renewal',
    en: 'the shares of a token’s life between which the broker renews it: two numbers between 0 and 1, the smaller one first',
    zh: '在令牌有效期的哪一段内刷新：0 与 1 之间的两个数，小的在前',
  },
  REFRESH_UNREAD_LIMIT: {
    group: 'renewal',
    en: 'how often in a row the broker renews a token that nobody reads. After that, it lets the token expire',
    zh: '令牌一直无人读取时，最多连续刷新多少次。之后任其过期',
  },
  RATE_LIMIT_PER_MINUTE: {
    group: 'limits',
    en: 'maximum requests of an account per minute on one replica, on average; up to this number at once; 0: no limit',
    zh: '限流：一个账号在一个副本上平均每分钟最多的请求数，突发上限也是这个数；0：不限',
  },
  LOGIN_LIMIT_PER_HOUR: {
    group: 'limits',
    en: 'maximum logins and logouts of an account per hour over all replicas, on average; `TERMINALS_PER_ACCOUNT` of them at once; 0: no limit',
    zh: '限流：所有副本合计，一个账号平均每小时最多的登录和登出次数，突发上限为 `TERMINALS_PER_ACCOUNT` 次，之后匀速恢复；0：不限',
  },
  CACHE_MAX_MB: {
    group: 'limits',
    en: 'maximum memory for cached tokens in this process, in MiB',
    zh: '本进程缓存令牌最多使用的内存（MiB）',
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    group: 'tracing',
    en: 'the base URL of an OTLP/HTTP receiver, like `http://collector:4318`; the broker adds `/v1/traces`. Without an endpoint, there is no tracing',
    zh: 'OTLP/HTTP 接收端的基础 URL，例如 `http://collector:4318`；Broker 会加上 `/v1/traces`。不设端点则不启用链路追踪',
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    group: 'tracing',
    en: 'or the complete URL for traces, with its path',
    zh: '或者接收追踪数据的完整 URL，包含路径',
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    group: 'tracing',
    en: 'headers of each export, for example an API key: `name=value[,name=value…]`, with percent-encoded values',
    zh: '每次导出时附带的请求头，例如 API key：`name=value[,name=value…]`，值需做 URL 编码',
  },
  OTEL_SERVICE_NAME: {
    group: 'tracing',
    en: 'the name of the service in traces. Without it: `service.name` of the next setting, or `sdk-token-broker`',
    zh: '追踪数据中的服务名。不设时取下一项中的 `service.name`，否则为 `sdk-token-broker`',
  },
  OTEL_RESOURCE_ATTRIBUTES: {
    group: 'tracing',
    en: 'attributes of all spans: `key=value[,key=value…]`, with percent-encoded values',
    zh: '所有 span 的属性：`key=value[,key=value…]`，值需做 URL 编码',
  },
  OTEL_TRACES_SAMPLER: {
    group: 'tracing',
    en: 'the rule that decides which traces are recorded. After `parentbased_`, the `traceparent` of the app decides first',
    zh: '决定记录哪些追踪的采样规则。带 `parentbased_` 前缀时，先看 App 的 `traceparent`',
  },
  OTEL_TRACES_SAMPLER_ARG: {
    group: 'tracing',
    en: 'the share of the traces that a sampler with a ratio records, from 0 to 1',
    zh: '按比例采样时记录的追踪比例，0 到 1',
  },
  OTEL_TRACES_EXPORTER: {
    group: 'tracing',
    en: '`none` switches tracing off, also with an endpoint',
    zh: '`none`：即使设置了端点也不启用链路追踪',
  },
  OTEL_SDK_DISABLED: {
    group: 'tracing',
    en: '`true` switches tracing off, also with an endpoint',
    zh: '`true`：即使设置了端点也不启用链路追踪',
  },
};

export const SETTINGS_HEAD: Readonly<Record<Language, readonly string[]>> = {
  en: ['variable', 'default', 'allowed', 'meaning'],
  zh: ['变量', '默认值', '允许的值', '说明'],
};
