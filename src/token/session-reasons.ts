import type { Text } from './text.ts';

/** Why a session is refused or cannot be checked. Apps and the log get the English text. No argument is secret. */
export const SESSION_REASONS = {
  expired: { en: 'The session has expired', zh: '会话已过期' },
  unavailable: { en: 'The session cannot be checked at this moment', zh: '目前无法校验该会话' },
  // The request.
  noBearer: {
    en: 'Send the session as Authorization: Bearer <session>',
    zh: '用 Authorization: Bearer <会话> 发送会话',
  },
  malformedBearer: {
    en: 'The bearer token must be one b64token (RFC 6750, section 2.1)',
    zh: 'Bearer 令牌必须是一个 b64token（RFC 6750 第 2.1 节）',
  },
  noHeaders: (headers: string): Text => ({
    en: `Send the session in one of these headers: ${headers}`,
    zh: `用以下请求头之一发送会话：${headers}`,
  }),
  anotherSite: {
    en: 'Another web site caused this request: its Sec-Fetch-Site or Origin is not of this host',
    zh: '请求由其他网站发起：其 Sec-Fetch-Site 或 Origin 不属于本主机',
  },
  unknownApp: { en: 'The session is bound to an app that is not configured', zh: '会话绑定的 App 没有配置' },
  // A JWT.
  tooLong: (characters: number): Text => ({
    en: `A session must have at most ${characters} characters`,
    zh: `会话最多 ${characters} 个字符`,
  }),
  noJwt: { en: 'The session is not a signed JWT', zh: '会话不是已签名的 JWT' },
  unsupportedExtension: {
    en: 'The session requires a JWT extension that is not supported',
    zh: '会话要求了不支持的 JWT 扩展',
  },
  forbiddenAlgorithm: {
    en: 'The session is signed with an algorithm that is not allowed',
    zh: '会话使用了不允许的签名算法',
  },
  unknownKey: { en: 'The session is signed with an unknown key', zh: '会话由未知的密钥签名' },
  severalKeys: {
    en: 'The session must name its key in the header parameter kid, because several keys match',
    zh: '有多个密钥匹配，会话必须在 header 的 kid 中指明所用的密钥',
  },
  wrongSignature: { en: 'The signature of the session is wrong', zh: '会话的签名错误' },
  wrongType: (types: readonly string[]): Text => ({
    en: `The header parameter typ of the session must be ${types.join(' or ')} if it is present`,
    zh: `会话 header 中的 typ 如果存在，必须是 ${types.join(' 或 ')}`,
  }),
  noSessionType: { en: 'is no type of a session', zh: '不是会话的类型' },
  mustBe: (value: string): Text => ({ en: `must be ${value}`, zh: `必须是 ${value}` }),
  mustHold: (value: string): Text => ({ en: `must hold ${value}`, zh: `必须包含 ${value}` }),
  // A claim. The rules follow the name of one.
  claim: (name: string, { en, zh }: Text): Text => ({
    en: `The session's claim ${name} ${en}`,
    zh: `会话的声明 ${name} ${zh}`,
  }),
  answeredClaim: (name: string, { en, zh }: Text): Text => ({
    en: `The claim ${name} in the answer ${en}`,
    zh: `响应中的声明 ${name} ${zh}`,
  }),
  missing: { en: 'is missing', zh: '不存在' },
  missingAccount: {
    en: 'is missing. It is the account (SESSION_CLAIM_UNION_ID)',
    zh: '不存在。它是账号（SESSION_CLAIM_UNION_ID）',
  },
  /** @param value one of a fixed list */
  nobody: (value: string): Text => ({
    en: `is ${value}, which means that nobody is logged in`,
    zh: `是 ${value}，表示没有人登录`,
  }),
  wrongValue: { en: 'has a wrong value', zh: '的值不对' },
  noNumber: { en: 'is not a number', zh: '不是数字' },
  mustBeNumber: { en: 'must be a number', zh: '必须是数字' },
  wrongUnit: (unit: TimeUnitName, actual: TimeUnitName): Text => ({
    en: `must be in ${unit} since 1970, not in ${actual}`,
    zh: `必须是以${UNITS_ZH[unit]}为单位的 Unix 时间戳，不能以${UNITS_ZH[actual]}为单位`,
  }),
  tooFarAhead: (seconds: number): Text => ({
    en: `must be at most ${seconds} s ahead of the broker's clock`,
    zh: `最多比 Broker 的时钟超前 ${seconds} 秒`,
  }),
  account: (characters: number): Text => ({
    en: `must be a string of 1 to ${characters} Unicode characters, and not . or .. alone, or an integer of at most as many digits, without a fraction or an exponent`,
    zh: `必须是 1 到 ${characters} 个 Unicode 字符的字符串（不能只是 . 或 ..），或位数不超过此值的整数，不能有小数或指数`,
  }),
  region: {
    en: 'must be a two-letter country code that ISO 3166-1 assigns (GB, not UK), if it is present',
    zh: '必须是 ISO 3166-1 已分配的两位国家代码（GB，不是 UK），也可以没有',
  },
  app: {
    en: 'must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" or "-" if it is present',
    zh: '必须是 1 到 64 个字符，只含 A-Z、a-z、0-9、“.”、“_”和“-”，也可以没有',
  },
  anotherKind: {
    en: 'The session must be an access token, not another kind of token',
    zh: '会话必须是 access token，不能是其他令牌',
  },
  boundToClient: {
    en: 'The session is bound to a key of its client (cnf), which the broker cannot verify',
    zh: '会话与客户端的密钥绑定（cnf），Broker 无法校验',
  },
  noTimeOfIssue: {
    en: 'The session has no time of issue, and its account was erased before: every such session is refused. Let your cloud add iat to its sessions, or name their time of issue in SESSION_CLAIM_ISSUED_AT',
    zh: '会话没有签发时间，而账号曾被注销：这样的会话一律拒绝。请让你的服务端在会话中加上 iat，或用 SESSION_CLAIM_ISSUED_AT 指定签发时间',
  },
  // The answer of a server.
  inactive: { en: 'The session is not active', zh: '会话无效（active 不为 true）' },
  wrongAudience: {
    en: 'The session is not meant for the broker: wrong audience',
    zh: '会话不是发给 Broker 的：audience 不对',
  },
  lacksScope: { en: 'The session lacks a scope that the broker requires', zh: '会话缺少 Broker 要求的 scope' },
  refusedByStatus: (status: number): Text => ({
    en: `The session server refused the session with status ${status}`,
    zh: `会话服务器拒绝了该会话（状态码 ${status}）`,
  }),
  refusedByAnswer: (condition: string): Text => ({
    en: `The session server refused the session with ${condition}`,
    zh: `会话服务器拒绝了该会话（${condition}）`,
  }),
  noHeader: { en: 'The session cannot be sent in HTTP headers', zh: '会话无法放进 HTTP 请求头' },
  /** @param values what the answer has at the paths of the conditions, as `path=value`, or `no path` */
  undecided: (values: Text): Text => ({
    en: `The answer meets neither SESSION_FORWARD_ACCEPTED nor SESSION_FORWARD_REFUSED: it has ${values.en}`,
    zh: `响应既不满足 SESSION_FORWARD_ACCEPTED，也不满足 SESSION_FORWARD_REFUSED：${values.zh}`,
  }),
  sessionServerStatus: (status: number): Text => ({
    en: `The session server answered ${status}`,
    zh: `会话服务器返回了 ${status}`,
  }),
  introspectionStatus: (status: number): Text => ({
    en: `The introspection URL answered ${status} instead of 200`,
    zh: `introspection URL 返回了 ${status}，而不是 200`,
  }),
  jwksStatus: (status: number): Text => ({
    en: `The JWKS URL answered ${status} instead of 200`,
    zh: `JWKS URL 返回了 ${status}，而不是 200`,
  }),
  noIntrospection: {
    en: 'The introspection URL: the answer must be a JSON object in which active is true or false (RFC 7662)',
    zh: 'introspection URL 的响应不符合 RFC 7662：应为 JSON 对象，其中 active 是 true 或 false',
  },
  noJsonObject: { en: 'The session server did not answer with a JSON object', zh: '会话服务器返回的不是 JSON 对象' },
  noText: { en: 'The answer must be UTF-8, and not compressed', zh: '响应必须是 UTF-8，并且不压缩' },
  tooManyBytes: (bytes: number): Text => ({
    en: `The answer may have at most ${bytes} bytes`,
    zh: `响应最多 ${bytes} 字节`,
  }),
  noJwkSet: { en: 'The answer is not a JWK Set', zh: '响应不是 JWK Set' },
  tooManyPublishedKeys: (keys: number): Text => ({
    en: `A JWK Set may have at most ${keys} keys`,
    zh: `JWK Set 最多 ${keys} 个密钥`,
  }),
  noPublishedKeys: { en: 'The JWK Set has no keys', zh: 'JWK Set 中没有密钥' },
  sameKid: { en: 'Several keys of the JWK Set have the same kid', zh: 'JWK Set 中有多个密钥的 kid 相同' },
  // The configured key of the sessions.
  tooManyKeys: (keys: number): Text => ({
    en: `There may be at most ${keys} keys of the sessions at a time`,
    zh: `会话密钥同时最多 ${keys} 个`,
  }),
  shortSecret: (bytes: number): Text => ({
    en: `The secret of the sessions must be at least ${bytes} bytes long (RFC 7518 §3.2)`,
    zh: `会话的共享密钥至少 ${bytes} 字节（RFC 7518 §3.2）`,
  }),
  noPem: {
    en: 'The public key of the sessions must be a PEM that starts with -----BEGIN PUBLIC KEY-----',
    zh: '会话的公钥必须是以 -----BEGIN PUBLIC KEY----- 开头的 PEM',
  },
  unfitPublicKey: (bits: number): Text => ({
    en: `The public key of the sessions must be RSA of at least ${bits} bits, EC on P-256, P-384 or P-521, or Ed25519`,
    zh: `会话的公钥必须是至少 ${bits} 位的 RSA、P-256、P-384 或 P-521 上的 EC，或 Ed25519`,
  }),
} as const satisfies Readonly<Record<string, Text | ((...values: never) => Text)>>;

const UNITS_ZH = { seconds: '秒', milliseconds: '毫秒', microseconds: '微秒' };
type TimeUnitName = keyof typeof UNITS_ZH;
