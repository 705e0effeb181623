import type { Text } from '../token/text.ts';

export const RANDOM_VALUE: Text = { en: 'choose a random one', zh: '请换成随机值' };
export const VENDOR_VALUE: Text = { en: 'use the value that the vendor issued', zh: '请换成厂商颁发的值' };
export const SERVER_VALUE: Text = {
  en: 'use the value that the OAuth server issued',
  zh: '请换成 OAuth 服务器颁发的值',
};

/** By their names. The start writes them in English, `check` in its language. No argument may hold a secret. */
export const PROBLEMS = {
  required: (name: string, allowed: Text): Text => ({
    en: `${name} is required: ${allowed.en}`,
    zh: `必须设置 ${name}：${allowed.zh}`,
  }),
  /** @param value `undefined` if it must not be shown */
  notAllowed: (name: string, allowed: Text, value: string | undefined): Text => ({
    en: `${name} must be ${allowed.en}${value === undefined ? '' : `, not ${JSON.stringify(value)}`}`,
    zh: `${name} 应为：${allowed.zh}${value === undefined ? '' : `，而不是 ${JSON.stringify(value)}`}`,
  }),
  valueAndFile: (name: string): Text => ({
    en: `${name} and ${name}_FILE are both set: set only one of them`,
    zh: `${name} 和 ${name}_FILE 都设置了：只能设置其中一个`,
  }),
  fileOfNoSecret: (name: string): Text => ({
    en: `${name}_FILE has no effect, because ${name} is not a secret: set ${name} instead`,
    zh: `${name}_FILE 不起作用，因为 ${name} 不是密钥或凭据：请改为设置 ${name}`,
  }),
  unusableFile: (name: string, path: string): Text => ({
    en: `${name}_FILE must name a regular file with UTF-8 text that is not empty, not ${path}`,
    zh: `${name}_FILE 应为普通文件，内容是 UTF-8 文本且不为空，而不是 ${path}`,
  }),
  unreadableFile: (name: string, code: string): Text => ({
    en: `${name}_FILE names a file that cannot be read (${code})`,
    zh: `${name}_FILE 指定的文件无法读取（${code}）`,
  }),
  forbiddenFile: (name: string, uid: number): Text => ({
    en: `${name}_FILE names a file that cannot be read (EACCES): give the user ${uid} the right to read it, and to enter its folder`,
    zh: `${name}_FILE 指定的文件无法读取（EACCES）：请让用户 ${uid} 有权读取该文件并进入其目录`,
  }),
  noKey: (names: string): Text => ({
    en: `${names}: one of them is required, to check sessions`,
    zh: `${names}：必须设置其中一个，用于校验会话`,
  }),
  severalKeys: (names: string): Text => ({
    en: `${names}: set only one of them, otherwise a forged session might be accepted`,
    zh: `${names}：只能设置其中一个，否则伪造的会话可能被接受`,
  }),
  unusable: (name: string, { en, zh }: Text): Text => ({ en: `${name}: ${en}`, zh: `${name}：${zh}` }),
  unfitAlgorithms: (name: string, allowed: string, wrong: string): Text => ({
    en: `${name} must be among those that fit the key (${allowed}), not ${wrong}`,
    zh: `${name} 只能从与密钥匹配的算法（${allowed}）中选择，不能是 ${wrong}`,
  }),
  noCookieHeader: (name: string): Text => ({
    en: `${name} needs the header cookie in SESSION_FORWARD_HEADERS`,
    zh: `使用 ${name} 时，SESSION_FORWARD_HEADERS 中必须有 cookie`,
  }),
  acceptedAndRefused: (name: string, value: string): Text => ({
    en: `${name} has the value ${value}, which SESSION_FORWARD_ACCEPTED has too`,
    zh: `${name} 含有值 ${value}，但 SESSION_FORWARD_ACCEPTED 也含有它`,
  }),
  repeatedToken: {
    en: 'ADMIN_TOKENS must not repeat ADMIN_TOKEN, nor its name, which is default',
    zh: 'ADMIN_TOKENS 中不能再次出现 ADMIN_TOKEN 的值，也不能使用它的名称 default',
  },
  guessable: (name: string): Text => ({
    en: `${name} can be guessed, because it is not random: ${RANDOM_VALUE.en}`,
    zh: `${name} 不是随机值，容易被猜到：${RANDOM_VALUE.zh}`,
  }),
  published: (name: string, fix: Text): Text => ({
    en: `${name} is a value that is published for trying things out: ${fix.en}`,
    zh: `${name} 是公开的试用值：${fix.zh}`,
  }),
  replacedByApps: (names: string): Text => ({
    en: `VENDOR_APPS replaces ${names}: set one or the other`,
    zh: `VENDOR_APPS 替代 ${names}：只能设置其中一方`,
  }),
  noEncryptionKeys: {
    en: 'TOKEN_ENCRYPTION_KEYS is required in production with Redis: id:key with a 32-byte key in base64 (the output of openssl rand -base64 32), or off to store tokens unencrypted',
    zh: '生产环境使用 Redis 时必须设置 TOKEN_ENCRYPTION_KEYS：id:key，其中 key 是 Base64 编码的 32 字节密钥（openssl rand -base64 32 的输出）；或设为 off，不加密保存令牌',
  },
} as const satisfies Readonly<Record<string, Text | ((...values: never) => Text)>>;
