import type { ErrorCode } from '../../src/token/errors.ts';
import type { Language, Texts } from './language.ts';

/** What the app does about each error. The compiler refuses an error without a text. */
export const APP_TEXTS: Readonly<Record<ErrorCode, Texts>> = {
  request_invalid: {
    en: 'correct the app: `detail` names the parameter and what is allowed',
    zh: '修改 App 代码：`detail` 指出是哪个参数以及允许的值',
  },
  session_missing: {
    en: 'send the session as [its mode requires](integrate-your-cloud.md)',
    zh: '按[所用模式的要求](integrate-your-cloud.md)发送会话',
  },
  session_invalid: {
    en: 'renew the session and ask once again. If that does not help, ask the user to log in again',
    zh: '重新获取登录态（会话）后再请求一次。若仍失败，请用户重新登录',
  },
  session_expired: { en: 'renew the session and ask once again', zh: '重新获取登录态（会话）后再请求一次' },
  session_forbidden: { en: 'stop asking. Ask the user to log in again', zh: '停止请求。请用户重新登录' },
  account_disabled: { en: 'stop asking. Tell the user', zh: '停止请求。告知用户' },
  terminal_limit: {
    en: 'stop asking. Ask the user to log out on another phone',
    zh: '停止请求。请用户在另一部手机上登出',
  },
  not_found: { en: 'correct the address', zh: '修正地址' },
  method_not_allowed: { en: 'correct the method', zh: '修正方法' },
  rate_limited: { en: 'wait, then ask again. Look for a loop in the app', zh: '等待后重试。检查 App 是否在循环请求' },
  internal: { en: 'wait, then ask again', zh: '等待后重试' },
  vendor_rejected: {
    en: 'stop asking. If `detail` names the account, the `uniqueId` or the region as malformed, correct the app',
    zh: '停止请求。若 `detail` 指出账号、`uniqueId` 或地区格式不对，请修改 App 代码',
  },
  vendor_unavailable: { en: 'wait, then ask again', zh: '等待后重试' },
  vendor_busy: { en: 'wait, then ask again', zh: '等待后重试' },
  session_check_unavailable: { en: 'wait, then ask again', zh: '等待后重试' },
  store_unavailable: { en: 'wait, then ask again', zh: '等待后重试' },
  shutting_down: { en: 'ask again. Another replica answers', zh: '重试，请求会由另一个副本处理' },
  vendor_timeout: { en: 'wait, then ask again', zh: '等待后重试' },
};

export const APP_HEAD: Readonly<Record<Language, readonly string[]>> = {
  en: ['`code`', 'status', '`retryable`', 'when', 'the app'],
  zh: ['`code`', '状态码', '`retryable`', '何时出现', 'App 的处理'],
};

export const YES_NO: Readonly<Record<'yes' | 'no', Texts>> = {
  yes: { en: 'yes', zh: '是' },
  no: { en: 'no', zh: '否' },
};
