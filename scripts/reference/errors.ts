import type { ErrorCode } from '../../src/token/errors.ts';
import type { Language, Texts } from './language.ts';

interface ErrorText {
  /** What the app does. */
  readonly app: Texts;
  /** What the operator does. */
  readonly operator: Texts;
}

/** The texts for each error and language. The compiler refuses an error without one. */
export const ERROR_TEXTS: Readonly<Record<ErrorCode, ErrorText>> = {
  request_invalid: {
    app: {
      en: 'correct the app: `detail` names the parameter and what is allowed',
      zh: '修改 App 代码：`detail` 指出是哪个参数以及允许的值',
    },
    operator: {
      en: 'if the app is correct: compare its parameters with the API document',
      zh: '若确认 App 没有问题：将其参数与 API 文档对照',
    },
  },
  session_missing: {
    app: {
      en: 'send the session as [its mode requires](integrate-your-cloud.md)',
      zh: '按[所用模式的要求](integrate-your-cloud.md)发送会话',
    },
    operator: {
      en: 'if all apps see it: does the proxy pass on the header with the session?',
      zh: '若所有 App 都遇到：检查代理是否转发了带有会话的请求头',
    },
  },
  session_invalid: {
    app: {
      en: 'renew the session and ask once again. If that does not help, ask the user to log in again',
      zh: '更新会话后再请求一次。若仍失败，请用户重新登录',
    },
    operator: {
      en: '`check --session` says which claim is wrong: [find out why a user is refused](get-started.md#6-find-out-why-a-user-is-refused)',
      zh: '`check --session` 会指出哪个声明不对：[查明用户为何被拒绝](get-started.md#6-find-out-why-a-user-is-refused)',
    },
  },
  session_expired: {
    app: { en: 'renew the session and ask once again', zh: '更新会话后再请求一次' },
    operator: {
      en: 'if it happens to new sessions: compare the clocks of your cloud and of the broker',
      zh: '若新会话也如此：对比你的云与 Broker 的时钟',
    },
  },
  session_forbidden: {
    app: { en: 'stop asking. Ask the user to log in again', zh: '停止请求。请用户重新登录' },
    operator: {
      en: 'for web pages: let the proxy pass on `Host` unchanged, and set [`SameSite`](security.md#cookies)',
      zh: '对于网页：代理应原样转发 `Host`，并设置 [`SameSite`](security.md#cookies)',
    },
  },
  account_disabled: {
    app: { en: 'stop asking. Tell the user', zh: '停止请求。告知用户' },
    operator: {
      en: 'ask the vendor, with the account’s accessId or, if there is none, the unionId',
      zh: '向厂商咨询，并提供该账号的 accessId；没有 accessId 时，提供 unionId',
    },
  },
  terminal_limit: {
    app: {
      en: 'stop asking. Ask the user to log out on another phone',
      zh: '停止请求。请用户在另一部手机上登出',
    },
    operator: {
      en: 'a lost phone counts until its token ends, unless [your cloud logs it out](integrate-your-cloud.md#log-a-terminal-out)',
      zh: '丢失的手机在令牌过期前一直占用名额，除非[你的云将其登出](integrate-your-cloud.md#log-a-terminal-out)',
    },
  },
  not_found: {
    app: { en: 'correct the address', zh: '修正地址' },
    operator: {
      en: 'a path of the internal API takes the `unionId`, not the name that the user types',
      zh: '内部 API 的路径使用 `unionId`，不是用户输入的账号名',
    },
  },
  rate_limited: {
    app: { en: 'wait, then ask again. Look for a loop in the app', zh: '等待后重试。检查 App 是否在循环请求' },
    operator: {
      en: '[the metric of refusals](metrics.md#labels) names the limit',
      zh: '[拒绝次数的指标](metrics.md#labels)会指出是哪个限制',
    },
  },
  internal: {
    app: { en: 'wait, then ask again', zh: '等待后重试' },
    operator: {
      en: '[InternalErrors](runbooks.md#sdktokenbrokerinternalerrors)',
      zh: '[InternalErrors](runbooks.md#sdktokenbrokerinternalerrors)',
    },
  },
  vendor_rejected: {
    app: {
      en: 'stop asking. If `detail` names the account, the `uniqueId` or the region as malformed, correct the app',
      zh: '停止请求。若 `detail` 指出账号、`uniqueId` 或地区格式不对，请修改 App 代码',
    },
    operator: {
      en: '[VendorRefusesLogins](runbooks.md#sdktokenbrokervendorrefuseslogins)',
      zh: '[VendorRefusesLogins](runbooks.md#sdktokenbrokervendorrefuseslogins)',
    },
  },
  vendor_unavailable: {
    app: { en: 'wait, then ask again', zh: '等待后重试' },
    operator: {
      en: 'if many accounts see it: [VendorDomainDown](runbooks.md#sdktokenbrokervendordomaindown)',
      zh: '若许多账号都遇到：[VendorDomainDown](runbooks.md#sdktokenbrokervendordomaindown)',
    },
  },
  vendor_busy: {
    app: { en: 'wait, then ask again', zh: '等待后重试' },
    operator: {
      en: '[LoginBudgetSpent](runbooks.md#sdktokenbrokerloginbudgetspent)',
      zh: '[LoginBudgetSpent](runbooks.md#sdktokenbrokerloginbudgetspent)',
    },
  },
  session_check_unavailable: {
    app: { en: 'wait, then ask again', zh: '等待后重试' },
    operator: {
      en: '[SessionChecksUnavailable](runbooks.md#sdktokenbrokersessionchecksunavailable)',
      zh: '[SessionChecksUnavailable](runbooks.md#sdktokenbrokersessionchecksunavailable)',
    },
  },
  store_unavailable: {
    app: { en: 'wait, then ask again', zh: '等待后重试' },
    operator: {
      en: '[RedisTrouble](runbooks.md#sdktokenbrokerredistrouble). [Do not restart the replicas](production.md#while-redis-is-down)',
      zh: '[RedisTrouble](runbooks.md#sdktokenbrokerredistrouble)。[不要重启副本](production.md#while-redis-is-down)',
    },
  },
  shutting_down: {
    app: { en: 'ask again. Another replica answers', zh: '重试，请求会由另一个副本处理' },
    operator: {
      en: 'take a replica out of the load balancer before you stop it',
      zh: '停止副本之前，先将其从负载均衡中移除',
    },
  },
  vendor_timeout: {
    app: { en: 'wait, then ask again', zh: '等待后重试' },
    operator: {
      en: 'if many accounts see it: [VendorDomainDown](runbooks.md#sdktokenbrokervendordomaindown)',
      zh: '若许多账号都遇到：[VendorDomainDown](runbooks.md#sdktokenbrokervendordomaindown)',
    },
  },
};

export const APP_HEAD: Readonly<Record<Language, readonly string[]>> = {
  en: ['`code`', 'status', '`retryable`', 'when', 'the app'],
  zh: ['`code`', '状态码', '`retryable`', '何时出现', 'App 的处理'],
};

export const OPERATOR_HEAD: Readonly<Record<Language, readonly string[]>> = {
  en: ['error', 'the operator'],
  zh: ['错误', '运维人员的处理'],
};

export const YES_NO: Readonly<Record<'yes' | 'no', Texts>> = {
  yes: { en: 'yes', zh: '是' },
  no: { en: 'no', zh: '否' },
};
