import { type Text, untranslated } from './language.ts';

/**
 * Reasons of the configuration and of the session verifiers in Chinese. The service writes them to its log and to apps
 * in English only. `{}` stands for a value and `{X}` for names of settings, in the same order in both languages. A
 * value may be another reason.
 */
const REASONS: Readonly<Record<string, string>> = {
  // A setting.
  '{X} is required: {}': '必须设置 {}：{}',
  '{X} must be {}, not "{}"': '{} 应为：{}，而不是 "{}"',
  '{X} must be {}': '{} 应为：{}',
  '{X} and {X}_FILE are both set: set only one of them': '{} 和 {}_FILE 都设置了：只能设置其中一个',
  '{X}_FILE has no effect, because {X} is not a secret: set {X} instead':
    '{}_FILE 不起作用，因为 {} 不是机密：请改为设置 {}',
  '{X}_FILE names a file that is empty: {}': '{}_FILE 指定的文件是空的：{}',
  '{X}_FILE names a file that is not UTF-8 text: {}': '{}_FILE 指定的文件不是 UTF-8 文本：{}',
  '{X}_FILE names something that is not a regular file: {}': '{}_FILE 指定的不是普通文件：{}',
  '{X}_FILE names a file that cannot be read ({})': '{}_FILE 指定的文件无法读取（{}）',
  '{X}: one of them is required, to check sessions': '{}：必须设置其中一个，用于校验会话',
  '{X}: set only one of them, otherwise a forged session might be accepted':
    '{}：只能设置其中一个，否则伪造的会话可能被接受',
  '{X} needs the header cookie in SESSION_FORWARD_HEADERS': '使用 {} 时，SESSION_FORWARD_HEADERS 中必须有 cookie',
  '{X} has the value {}, which SESSION_FORWARD_ACCEPTED has too': '{} 含有值 {}，但 SESSION_FORWARD_ACCEPTED 也含有它',
  '{X} must be among those that fit the key ({}), not {}': '{} 只能从与密钥匹配的算法（{}）中选择，不能是 {}',
  '{X} must not repeat ADMIN_TOKEN, nor its name, which is default':
    '{} 中不能再次出现 ADMIN_TOKEN 的值，也不能使用它的名称 default',
  '{X} must differ from PORT, because HOST and ADMIN_HOST have an address in common':
    '{} 不能与 PORT 相同，因为 HOST 和 ADMIN_HOST 有共同的地址',
  '{X} is a value that is published for trying things out: {}': '{} 是公开的试用值：{}',
  'choose a random one': '请换成随机值',
  'use the value that the vendor issued': '请换成厂商颁发的值',
  'use the value that the OAuth server issued': '请换成 OAuth 服务器颁发的值',
  '{X} can be guessed, because it is not random: choose a random one': '{} 不是随机值，容易被猜到：请换成随机值',
  '{X} replaces {}: set one or the other': '{} 替代 {}：只能设置其中一方',
  '{X} is required in production with Redis: id:key with a 32-byte key in base64 (the output of openssl rand -base64 32), or off to store tokens unencrypted':
    '生产环境使用 Redis 时必须设置 {}：id:key，其中 key 是 Base64 编码的 32 字节密钥（openssl rand -base64 32 的输出）；或设为 off，不加密保存令牌',
  '{X}: {}': '{}：{}',
  // The allowed values of a setting.
  'a word': '一个单词',
  'an IP address or a host name to listen on': '监听的 IP 地址或主机名',
  'a whole number from {} to {}': '{} 到 {} 的整数',
  'one of {}': '以下值之一：{}',
  'true or false': 'true 或 false',
  'the http(s) URL {}, without a password in it': '{}，以 http:// 或 https:// 开头，其中不能有密码',
  'the http(s) URL of the vendor domain assigned to you, without a password or a query in it':
    '厂商分配给你的域名的 URL，以 http:// 或 https:// 开头，其中不能有密码和查询参数',
  'of a JWK Set': '发布公钥（JWK Set）的 URL',
  'of the introspection endpoint (RFC 7662)': 'introspection 端点（RFC 7662）的 URL',
  'that returns the claims of a session': '返回会话声明的 URL',
  'of an OTLP/HTTP receiver, to which /v1/traces is added': 'OTLP/HTTP 接收端的 URL（Broker 会加上 /v1/traces）',
  'to which traces are sent by OTLP/HTTP, with its path': '通过 OTLP/HTTP 接收追踪数据的 URL，包含路径',
  'at least 16 characters of A-Z a-z 0-9 - . _ ~ + / (the output of openssl rand -base64 32)':
    '至少 16 个字符，只含 A-Z a-z 0-9 - . _ ~ + /（openssl rand -base64 32 的输出）',
  'name:token[,name:token…] with different names (letters, digits, dots, underscores, hyphens) and different tokens, each with at least 16 characters of A-Z a-z 0-9 - . _ ~ + / (the output of openssl rand -base64 32)':
    'name:token[,name:token…]：名称互不相同（字母、数字、点、下划线、连字符），令牌互不相同，每个至少 16 个字符，只含 A-Z a-z 0-9 - . _ ~ + /（openssl rand -base64 32 的输出）',
  'a JSON object of http(s) URLs, without a password or a query in them, by assigned country code (GB, not UK), like {"CN":"https://cn.example"}':
    'JSON 对象，以已分配的国家代码（GB，不是 UK）为键、http(s) URL 为值，URL 中不能有密码和查询参数，例如 {"CN":"https://cn.example"}',
  'the appId that the vendor issued (for several apps use VENDOR_APPS), {}':
    '厂商颁发的 appId（有多个 App 时使用 VENDOR_APPS），{}',
  'the {} that the vendor issued, {}, such as the line break that echo adds, and {}':
    '厂商颁发的 {}，{}，例如 echo 加上的换行符，{}',
  'the value of the header X-IotVideo-AccessID, if the vendor issued one besides the appId, {}':
    '请求头 X-IotVideo-AccessID 的值（如果厂商在 appId 之外另行颁发），{}',
  'in visible ASCII characters without a space or a line break': '只含可见的 ASCII 字符，不含空格和换行符',
  'without control characters': '不含控制字符',
  '{}, without white space, quotes or a byte order mark around it': '{}，前后没有空白、引号或字节顺序标记（BOM）',
  'without white space, quotes or a byte order mark around it': '前后没有空白、引号或字节顺序标记（BOM）',
  'a JSON object of 1 to 64 apps by different names (letters, digits, dots, underscores, hyphens), like {"ios":{"appId":"…","appToken":"…","appKey":"…"}}, with accessId as the only other field, each appId and accessId in visible ASCII characters without a space or a line break, and each appToken and appKey without control characters, and without white space, quotes or a byte order mark around it':
    'JSON 对象，以互不相同的名称（字母、数字、点、下划线、连字符）为键，含 1 到 64 个 App，例如 {"ios":{"appId":"…","appToken":"…","appKey":"…"}}，除此之外只能有字段 accessId；appId 和 accessId 只含可见的 ASCII 字符，不含空格和换行符；appToken 和 appKey 不含控制字符，前后没有空白、引号或字节顺序标记（BOM）',
  'a public key in PEM (SPKI, -----BEGIN PUBLIC KEY-----), or two while you replace it':
    'PEM 格式的公钥（SPKI，-----BEGIN PUBLIC KEY-----），轮换期间可以有两个',
  'the shared HMAC secret, at least 32 bytes, or two on two lines while you replace it, without white space, quotes or a byte order mark around one':
    '共享的 HMAC 密钥，至少 32 字节，轮换期间可以有两个，各占一行，前后没有空白、引号或字节顺序标记（BOM）',
  'the `{}` claim of your sessions, or any': '你的会话中声明 {} 的值，或 any',
  'a comma-separated list of JWS algorithms, like ES256': '用逗号分隔的 JWS 算法，例如 ES256',
  'a condition on the JSON answer, path=value[|value…], without an empty part, like {}':
    '对 JSON 响应的条件，path=value[|value…]，各部分不能为空，例如 {}',
  'a claim name or a dotted path, without an empty part': '声明的名称，或用点分隔的路径，各部分不能为空',
  'the client id of the broker at the OAuth server': 'Broker 在 OAuth 服务器上的 client ID',
  'the client secret of the broker': 'Broker 的 client secret',
  'the `aud` of tokens that are meant for the broker': '发给 Broker 的令牌的 aud',
  'the scopes that a token must have, separated by spaces': '令牌必须具有的 scope，用空格分隔',
  'a comma-separated list of header names, like authorization,cookie, without host, accept, user-agent or the like':
    '用逗号分隔的请求头名称，例如 authorization,cookie，不含 host、accept、user-agent 等',
  'all, or a comma-separated list of cookie names, like PHPSESSID': 'all，或用逗号分隔的 cookie 名称，例如 PHPSESSID',
  'an assigned country code (ISO 3166-1 alpha-2), two capital letters':
    '已分配的国家代码（ISO 3166-1 alpha-2），两个大写字母',
  'a redis:// or rediss:// URL, redis-sentinel://host:port,host:port/name or redis-cluster://host:port,host:port (with user:password@ before the hosts if needed, where characters such as @ / : # ? % are percent-encoded, and ?tls=true for TLS with the last two), without white space or quotes around it; without the setting, the process keeps the tokens in its memory':
    'redis:// 或 rediss:// 开头的 URL、redis-sentinel://host:port,host:port/name 或 redis-cluster://host:port,host:port（需要时在主机之前加 user:password@，其中 @ / : # ? % 等字符需做 URL 编码；后两种用 ?tls=true 启用 TLS），前后没有空白或引号；不设时令牌保存在进程内存中',
  '1 to 64 letters, digits, dots, underscores, colons and hyphens': '1 到 64 个字母、数字、点、下划线、冒号或连字符',
  'off, or id:key[,id:key…] with different ids and 32-byte keys in base64 (the output of openssl rand -base64 32)':
    'off，或 id:key[,id:key…]：id 互不相同，key 是 Base64 编码的 32 字节密钥（openssl rand -base64 32 的输出）',
  'two shares of a token’s life between 0 and 1, the smaller first, like 0.7-0.9':
    '令牌有效期的两个比例，在 0 与 1 之间，小的在前，例如 0.7-0.9',
  'a comma-separated list like {}, with percent-encoded values': '用逗号分隔的列表，例如 {}，值需做 URL 编码',
  'the name of this service in traces': '追踪数据中的服务名',
  'a number from 0 to 1': '0 到 1 的数',
  // The key of the sessions.
  'There may be at most {} keys of the sessions at a time': '会话密钥同时最多 {} 个',
  'The secret of the sessions must be at least {} bytes long (RFC 7518 §3.2)':
    '会话的共享密钥至少 {} 字节（RFC 7518 §3.2）',
  'The public key of the sessions must be a PEM that starts with -----BEGIN PUBLIC KEY-----':
    '会话的公钥必须是以 -----BEGIN PUBLIC KEY----- 开头的 PEM',
  'The public key of the sessions must be RSA of at least {} bits, EC on P-256, P-384 or P-521, or Ed25519':
    '会话的公钥必须是至少 {} 位的 RSA、P-256、P-384 或 P-521 上的 EC，或 Ed25519',
  // The values that a configuration accepts.
  'SESSION_JWT_ISSUER is any: a session of any issuer is accepted, if one of the keys has signed it':
    'SESSION_JWT_ISSUER 为 any：只要由其中一个密钥签名，任何签发者的会话都会被接受',
  'Set SESSION_JWT_ISSUER to the claim iss of your sessions.': '把 SESSION_JWT_ISSUER 设为你的会话中声明 iss 的值。',
  'SESSION_JWT_AUDIENCE is any: every session that one of the keys has signed is accepted, {}':
    'SESSION_JWT_AUDIENCE 为 any：由其中一个密钥签名的会话都会被接受，{}',
  'Set SESSION_JWT_AUDIENCE to a value in the claim aud that only sessions for the broker have.':
    '把 SESSION_JWT_AUDIENCE 设为只有发给 Broker 的会话才有的声明 aud 的值。',
  'SESSION_INTROSPECTION_AUDIENCE and SESSION_INTROSPECTION_SCOPE are not set: every active token of the OAuth server is accepted, {}':
    '没有设置 SESSION_INTROSPECTION_AUDIENCE 和 SESSION_INTROSPECTION_SCOPE：OAuth 服务器的任何有效令牌都会被接受，{}',
  'Set SESSION_INTROSPECTION_AUDIENCE or SESSION_INTROSPECTION_SCOPE to a value that only tokens for the broker have.':
    '把 SESSION_INTROSPECTION_AUDIENCE 或 SESSION_INTROSPECTION_SCOPE 设为只有发给 Broker 的令牌才有的值。',
  'also one that was issued for another service': '包括为其他服务签发的',
  // A session.
  'The session is not valid': '会话无效',
  'The session has expired': '会话已过期',
  'The session cannot be checked at this moment': '目前无法校验该会话',
  'Send the session as Authorization: Bearer <session>': '用 Authorization: Bearer <会话> 发送会话',
  'The bearer token must be one b64token (RFC 6750, section 2.1)':
    'Bearer 令牌必须是一个 b64token（RFC 6750 第 2.1 节）',
  'Send the session in one of these headers: {}': '用以下请求头之一发送会话：{}',
  'Another web site caused this request: its Sec-Fetch-Site or Origin is not of this host':
    '请求由其他网站发起：其 Sec-Fetch-Site 或 Origin 不属于本主机',
  'A session must have at most {} characters': '会话最多 {} 个字符',
  'The session is not a signed JWT': '会话不是已签名的 JWT',
  'The session requires a JWT extension that is not supported': '会话要求了不支持的 JWT 扩展',
  'The session is signed with an algorithm that is not allowed': '会话使用了不允许的签名算法',
  'The session is signed with an unknown key': '会话由未知的密钥签名',
  'The session must name its key in the header parameter kid, because several keys match':
    '有多个密钥匹配，会话必须在 header 的 kid 中指明所用的密钥',
  'The signature of the session is wrong': '会话的签名错误',
  'The header parameter typ of the session must be {} if it is present': '会话 header 中的 typ 如果存在，必须是 {}',
  'is no type of a session': '不是会话的类型',
  'must be {}': '必须是 {}',
  'must hold {}': '必须包含 {}',
  "The session's claim {} {}": '会话的声明 {} {}',
  'The claim {} in the answer {}': '响应中的声明 {} {}',
  'is missing': '不存在',
  'is missing. It is the account (SESSION_CLAIM_UNION_ID)': '不存在。它是账号（SESSION_CLAIM_UNION_ID）',
  'has a wrong value': '的值不对',
  'is not a number': '不是数字',
  'must be a number': '必须是数字',
  'must be in {} since 1970, not in {}': '必须是以{}为单位的 Unix 时间戳，不能以{}为单位',
  seconds: '秒',
  milliseconds: '毫秒',
  microseconds: '微秒',
  "must be at most {} s ahead of the broker's clock": '最多比 Broker 的时钟超前 {} 秒',
  'must be a string of 1 to {} Unicode characters, or an integer of at most as many digits, without a fraction or an exponent':
    '必须是 1 到 {} 个 Unicode 字符的字符串，或位数不超过此值的整数，不能有小数或指数',
  'must be a two-letter country code that ISO 3166-1 assigns (GB, not UK), if it is present':
    '必须是 ISO 3166-1 已分配的两位国家代码（GB，不是 UK），也可以没有',
  'must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" or "-" if it is present':
    '必须是 1 到 64 个字符，只含 A-Z、a-z、0-9、“.”、“_”和“-”，也可以没有',
  'The session must be an access token, not another kind of token': '会话必须是 access token，不能是其他令牌',
  'The session is bound to a key of its client (cnf), which the broker cannot verify':
    '会话与客户端的密钥绑定（cnf），Broker 无法校验',
  'The session is not active': '会话无效（active 不为 true）',
  'The session is not meant for the broker: wrong audience': '会话不是发给 Broker 的：audience 不对',
  'The session lacks a scope that the broker requires': '会话缺少 Broker 要求的 scope',
  'The session server refused the session with {}': '会话服务器拒绝了该会话（{}）',
  'status {}': '状态码 {}',
  'The session server answered {}': '会话服务器返回了 {}',
  'The introspection URL answered {} instead of 200': 'introspection URL 返回了 {}，而不是 200',
  // What follows is a sentence of a library.
  'The introspection URL: {}': 'introspection URL 的响应不符合 RFC 7662',
  'The JWKS URL answered {} instead of 200': 'JWKS URL 返回了 {}，而不是 200',
  'The session server did not answer with a JSON object': '会话服务器返回的不是 JSON 对象',
  'The answer is not a JWK Set': '响应不是 JWK Set',
  'The answer may have at most {} bytes': '响应最多 {} 字节',
  'A JWK Set may have at most {} keys': 'JWK Set 最多 {} 个密钥',
  'The JWK Set has no keys': 'JWK Set 中没有密钥',
  'Several keys of the JWK Set have the same kid': 'JWK Set 中有多个密钥的 kid 相同',
  'The answer cannot be read digit by digit': '无法逐位读取响应中的数字',
  'The answer must be UTF-8, and not compressed': '响应必须是 UTF-8，并且不压缩',
  'The answer meets neither SESSION_FORWARD_ACCEPTED nor SESSION_FORWARD_REFUSED':
    '响应既不满足 SESSION_FORWARD_ACCEPTED，也不满足 SESSION_FORWARD_REFUSED',
  'The answer meets neither SESSION_FORWARD_ACCEPTED nor SESSION_FORWARD_REFUSED: it has no {}':
    '响应既不满足 SESSION_FORWARD_ACCEPTED，也不满足 SESSION_FORWARD_REFUSED：其中没有 {}',
  'The session is bound to an app that is not configured': '会话绑定的 App 没有配置',
  'The session cannot be sent in HTTP headers': '会话无法放进 HTTP 请求头',
};

const VALUE = /\{X?\}/;

/** Those with the most words first: `must be {}` also matches reasons that say more. */
const PATTERNS = Object.entries(REASONS)
  .toSorted(([a], [b]) => b.split(VALUE).join('').length - a.split(VALUE).join('').length)
  .map(([english, chinese]) => ({ english: patternOf(english), chinese }));

function patternOf(english: string): RegExp {
  const literal = english.replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${literal.replaceAll('{X}', '([A-Z][A-Z0-9_, ]+?)').replaceAll('{}', '(.+?)')}$`, 's');
}

/** The reason in every language, also where a value is a reason. In English where there is no Chinese. */
export function reasonText(reason: string): Text {
  for (const { english, chinese } of PATTERNS) {
    const values = english.exec(reason)?.slice(1);
    if (values) return { en: reason, zh: chinese.replaceAll('{}', () => reasonText(values.shift() ?? '').zh) };
  }
  return untranslated(reason);
}
