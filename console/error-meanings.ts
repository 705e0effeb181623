import type { ErrorCode } from '../src/token/errors.ts';
import type { Language } from './format.ts';

interface ErrorMeaning extends Readonly<Record<Language, string>> {
  /** The party that must act, so that the error goes away. */
  readonly actor: 'app' | 'user' | 'cloud' | 'operator' | 'vendor' | 'nobody';
}

/** When the broker answers with a code. The console and docs/errors.md show these texts. */
export const ERROR_MEANINGS: Readonly<Record<ErrorCode, ErrorMeaning>> = {
  request_invalid: { en: 'a parameter is missing or malformed', zh: '缺少参数，或参数格式不对', actor: 'app' },
  session_missing: { en: 'the request has no session', zh: '请求中没有会话', actor: 'app' },
  session_invalid: {
    en: 'the broker or your cloud refuses the session: its signature, `iss`, `aud` or another claim is wrong, it was revoked, or the account was erased after it was issued',
    zh: 'Broker 或你的云拒绝了该会话：签名、`iss`、`aud` 或其他声明不对，会话已被吊销，或账号在会话签发之后被注销',
    actor: 'cloud',
  },
  session_expired: { en: 'the session has ended', zh: '会话已过期', actor: 'app' },
  session_forbidden: {
    en: 'the session is for another app, the terminal was logged out during the login, or a page of another web site caused the request',
    zh: '会话属于另一个 App，终端在登录期间被登出，或请求由其他网站的页面发起',
    actor: 'user',
  },
  account_disabled: { en: 'the vendor closed the account', zh: '厂商已关闭该账号', actor: 'vendor' },
  terminal_limit: {
    en: 'the account has `TERMINALS_PER_ACCOUNT` phones with a valid token',
    zh: '账号已有 `TERMINALS_PER_ACCOUNT` 部手机持有有效令牌',
    actor: 'user',
  },
  not_found: {
    en: 'the address is wrong; on the internal API also: the broker knows no such account',
    zh: '地址错误；在内部 API 上还可能是：Broker 不知道该账号',
    actor: 'app',
  },
  method_not_allowed: {
    en: 'the address is right, but the method is not. `Allow` names the methods that it has',
    zh: '地址正确，但方法不对。`Allow` 列出允许的方法',
    actor: 'app',
  },
  rate_limited: {
    en: 'the account asks too often, or reports too many refused tokens',
    zh: '该账号请求过于频繁，或上报的被拒令牌过多',
    actor: 'app',
  },
  internal: {
    en: 'the broker has a defect',
    zh: 'Broker 内部出错',
    actor: 'operator',
  },
  vendor_rejected: {
    en: 'the vendor refused the login. `vendorCode` is its result code',
    zh: '厂商拒绝了登录。`vendorCode` 是厂商的结果码',
    actor: 'operator',
  },
  vendor_unavailable: {
    en: 'the vendor cannot be reached or its answer is unusable, or the account is in a pause after failed logins',
    zh: '无法连接厂商，或厂商的响应无法使用，或该账号在登录失败后处于冷却中',
    actor: 'vendor',
  },
  vendor_busy: {
    en: 'more logins wait than `VENDOR_MAX_RPS` permits, or than the replica has connections',
    zh: '排队的登录超过 `VENDOR_MAX_RPS` 允许的数量，或超过副本的连接数',
    actor: 'operator',
  },
  session_check_unavailable: {
    en: 'your cloud cannot be asked about the session. No user is logged out for it',
    zh: '无法向你的云核实该会话。用户不会因此被登出',
    actor: 'cloud',
  },
  store_unavailable: {
    en: 'Redis does not answer, and this request cannot be served without it',
    zh: 'Redis 无响应，而此请求依赖 Redis',
    actor: 'operator',
  },
  shutting_down: { en: 'this replica is being stopped', zh: '该副本正在停机', actor: 'nobody' },
  vendor_timeout: { en: 'the vendor did not answer in time', zh: '厂商响应超时', actor: 'vendor' },
};
