import { ERRORS } from '../../src/token/errors.ts';
import { FINDING_CODES } from '../../src/token/findings.ts';
import { KNOWN_RESULTS } from '../../src/vendor-api/answer.ts';
import { metricsOfReplica } from '../../test/support/named-metrics.ts';
import { markdownTable } from '../markdown.ts';
import type { Language, Texts } from './language.ts';
import { withTranslatedLinks } from './tables.ts';

const PREFIX = 'sdk_token_broker_';

/** The meanings of the metrics in Chinese, by their names without the prefix. The English ones are the help texts. */
const CHINESE: Readonly<Record<string, string>> = {
  reads_total: '令牌读取次数，按令牌的来源或错误码',
  served_token_expiry_seconds: 'App 得到的令牌的剩余有效期',
  renewals_total: '刷新次数，按原因和结果。共用一次刷新的多个调用方只计一次',
  due_lateness_seconds: '从令牌应刷新的时间到后台刷新领取它的时间。重试会再次计入',
  due_backlog: '所有副本合计，待刷新但还没有后台任务领取的主体数；取本副本最近一次领取时的值',
  oldest_overdue_seconds: '最早的待刷新令牌已等待多久；取本副本最近一次领取时的值，没有待刷新的令牌时为 0',
  logins_total: '厂商登录次数，按结果和最后的结果码',
  login_duration_seconds: '一次登录的耗时，包括重试和等待登录配额',
  login_budget_wait_seconds: '登录尝试等待登录配额的时间',
  secrets_refused: '为 1 时，副本保留旧凭据，因为使用新凭据的配置无效',
  session_checks_total: '会话校验次数，按结果。共用一次校验的多个调用方只计一次',
  rate_limit_refusals_total: '以 `rate_limited` 拒绝的请求数，按达到的限制',
  write_backs_total: '写回存储的令牌数，按结果',
  tokens_expired_unrenewed_total: 'App 读取过、Broker 本应刷新却没有刷新就过期的令牌数',
  login_attempts_total: '发给厂商的登录请求数。一次登录最多发送三个',
  accounts_closed_total: '厂商已关闭的账号数，由登录的响应得知。所有副本对每个账号合计只计一次',
  login_budget_denials_total: '因登录配额用完而拒绝的登录尝试数',
  redis_commands_total: 'Redis 命令数，包括失败的和没有发送的',
  redis_errors_total: '失败的 Redis 命令数，按故障类型',
  redis_data_losses_total: '本副本发现 Redis 丢失变更的次数',
  admin_refusals_total: '因 Bearer 令牌错误或缺失而被内部 API 拒绝的请求数',
  log_lines_lost_total: '丢失的日志行数，因为标准输出没有接收：磁盘已满，或没有程序读取它',
  build_info: '恒为 1，标签中是服务和 Node.js 的版本，以及配置与凭据的摘要',
  finding: '恒为 1。`GET /status` 有该代码和级别的问题期间才有',
  vendor_circuit_state: '厂商域名的熔断状态：0 关闭（正常），1 半开，2 打开（熔断）。打开时，本副本不向它发送登录',
  last_login_timestamp_seconds: '本副本最近一次成功登录该厂商域名的 Unix 时间戳；还没有过时为 0',
  vendor_clock_offset_seconds: '厂商域名的时钟减去本机的时钟；没有已知的偏差时为 0',
  vendor_failing: '恒为 1。本副本在某个厂商域名的登录失败期间才有，带有最近一次失败的原因',
  cached_tokens: '本副本内存中的令牌数',
};

const CODES = FINDING_CODES.map((code) => `\`${code}\``);

interface LabelText {
  /** The metrics with this label. */
  readonly metrics: readonly string[];
  readonly label: string;
  readonly of: Texts;
  /** Names each value, or says what decides the values. */
  readonly values: Texts;
  /** The value may also be the code of an error. */
  readonly orError?: true;
  /** The settings decide the values. */
  readonly isOpen?: true;
}

const LABELS: readonly LabelText[] = [
  {
    metrics: ['session_checks_total'],
    label: 'outcome',
    of: { en: 'session checks', zh: '会话校验' },
    values: {
      en: '`cached` (accepted from memory), `accepted`, `kept` (accepted again, because your cloud did not answer), `malformed` (no signed JWT in mode `jwt`), `unknown_key` (of a JWT; or its signature is wrong), or the error: `session_invalid`, `session_expired`, `session_check_unavailable`',
      zh: '`cached`（命中内存，接受）、`accepted`、`kept`（你的云没有响应，继续接受）、`malformed`（`jwt` 模式下不是已签名的 JWT）、`unknown_key`（JWT 的密钥未知或签名错误），或错误：`session_invalid`、`session_expired`、`session_check_unavailable`',
    },
    orError: true,
  },
  {
    metrics: ['rate_limit_refusals_total'],
    label: 'limit',
    of: { en: 'rate limits', zh: '限流' },
    values: {
      en: '`requests` (an account on this replica), `logins` (logins and logouts of an account, over all replicas), `refused_tokens` (of one terminal)',
      zh: '`requests`（一个账号在本副本上的请求）、`logins`（所有副本合计，一个账号的登录和登出）、`refused_tokens`（一个终端上报的被拒令牌）',
    },
  },
  {
    metrics: ['reads_total'],
    label: 'outcome',
    of: { en: 'reads', zh: '读取' },
    values: {
      en: "`memory`, `redis` (or the store in this process), `login` (made for this read), `waited` (for the login of another caller), `fallback` (the old token, because its renewal failed or took too long), or an error's `code`",
      zh: '`memory`、`redis`（或进程内存储）、`login`（为这次读取登录）、`waited`（等待另一个调用方的登录）、`fallback`（刷新失败或太慢，返回旧令牌），或错误的 `code`',
    },
    orError: true,
  },
  {
    metrics: ['renewals_total'],
    label: 'cause',
    of: { en: 'renewals', zh: '刷新' },
    values: {
      en: '`new` (no token, or an expired one), `due` and `refused` (an app waits for it), `background` (no app waits)',
      zh: '`new`（没有令牌，或已过期）、`due` 和 `refused`（有 App 在等待）、`background`（没有 App 在等待）',
    },
  },
  {
    metrics: ['renewals_total'],
    label: 'outcome',
    of: { en: 'renewals', zh: '刷新' },
    values: {
      en: "`login`, `waited` (the login of another caller), or an error's `code`",
      zh: '`login`、`waited`（另一个调用方的登录），或错误的 `code`',
    },
    orError: true,
  },
  {
    metrics: ['write_backs_total'],
    label: 'outcome',
    of: { en: 'write-backs', zh: '写回' },
    values: {
      en: '`saved`, `outdated` (the store had a newer token, logout or erasure)',
      zh: '`saved`、`outdated`（存储中已有更新的令牌、登出或注销）',
    },
  },
  {
    metrics: ['logins_total', 'login_duration_seconds'],
    label: 'outcome',
    of: { en: 'logins', zh: '登录' },
    values: {
      en: '`success`; a refusal by the vendor: `clock_skew`, `configuration` (the app or its signature), `request`, `account_closed`; a temporary failure: `too_frequent`, `maintenance`, `unknown` (a code the protocol does not know), `outage` (an HTTP error without a result), `unreachable`, `timeout`, `too_large`, `broken_answer`; nothing was sent: `circuit_open`, `busy` (the login budget was spent, or no connection was free)',
      zh: '`success`；厂商拒绝：`clock_skew`、`configuration`（App 或它的签名）、`request`、`account_closed`；暂时的故障：`too_frequent`、`maintenance`、`unknown`（协议中没有的结果码）、`outage`（没有结果的 HTTP 错误）、`unreachable`、`timeout`、`too_large`、`broken_answer`；没有发送：`circuit_open`、`busy`（登录配额用完，或没有空闲连接）',
    },
  },
  {
    metrics: ['logins_total'],
    label: 'vendor_code',
    of: { en: 'logins', zh: '登录' },
    values: {
      en: 'a result code of the protocol, `other`, `none` (no answer with a code)',
      zh: '协议中的结果码、`other`、`none`（没有带结果码的响应）',
    },
  },
  {
    metrics: ['login_budget_wait_seconds', 'login_budget_denials_total'],
    label: 'urgency',
    of: { en: 'the login budget', zh: '登录配额' },
    values: {
      en: '`foreground` (an app waits), `background`',
      zh: '`foreground`（有 App 在等待）、`background`',
    },
  },
  {
    metrics: ['vendor_circuit_state', 'last_login_timestamp_seconds', 'vendor_clock_offset_seconds', 'vendor_failing'],
    label: 'host',
    of: { en: "the vendor's domains", zh: '厂商域名' },
    values: {
      en: 'host of `VENDOR_BASE_URL` and `VENDOR_REGION_URLS`, with its port if it is not the default one',
      zh: '`VENDOR_BASE_URL` 和 `VENDOR_REGION_URLS` 的主机名，非默认端口时带端口',
    },
    isOpen: true,
  },
  {
    metrics: ['vendor_failing'],
    label: 'reason',
    of: { en: "the vendor's domains", zh: '厂商域名' },
    values: {
      en: 'the `outcome` of the login, and more if it is known, for example `unreachable: CERT_HAS_EXPIRED`',
      zh: '登录的 `outcome`；如果知道得更多，也会附上，例如 `unreachable: CERT_HAS_EXPIRED`',
    },
  },
  {
    metrics: ['redis_errors_total'],
    label: 'kind',
    of: { en: 'Redis commands', zh: 'Redis 命令' },
    values: {
      en: '`timeout`, `connection` (refused, reset or closed, or a wrong password), `readonly`, `oom`, `misconf` and `noperm` ([refused writes](runbooks.md#redis_refuses_writes)), `loading`, `not_sent` (failed at once, because Redis has not answered recently), `other`',
      zh: '`timeout`、`connection`（被拒绝、重置或关闭，密码错误也算）、`readonly`、`oom`、`misconf` 和 `noperm`（[拒绝写入](runbooks.md#redis_refuses_writes)）、`loading`、`not_sent`（Redis 最近没有响应，所以立即失败）、`other`',
    },
  },
  {
    metrics: ['redis_data_losses_total'],
    label: 'history',
    of: { en: 'data losses', zh: '数据丢失' },
    values: {
      en: '`lost`, `went_back` ([what to do](runbooks.md#redis_lost_data))',
      zh: '`lost`、`went_back`（[处理方法](runbooks.md#redis_lost_data)）',
    },
  },
  {
    metrics: ['finding'],
    label: 'code',
    of: { en: 'findings', zh: '问题' },
    values: {
      en: `${CODES.join(', ')} ([runbooks](runbooks.md))`,
      zh: `${CODES.join('、')}（[运维手册](runbooks.md)）`,
    },
  },
  {
    metrics: ['finding'],
    label: 'level',
    of: { en: 'findings', zh: '问题' },
    values: {
      en: '`critical` (apps get errors, or will soon), `warn`, `info`',
      zh: '`critical`（App 得到错误，或即将得到）、`warn`、`info`',
    },
  },
  {
    metrics: ['admin_refusals_total'],
    label: 'reason',
    of: { en: 'the internal API', zh: '内部 API' },
    values: {
      en: '`missing` (no bearer token), `wrong`',
      zh: '`missing`（没有 Bearer 令牌）、`wrong`',
    },
  },
];
/** The help text explains the labels of the build. A histogram has `le`. */
const WITHOUT_TEXT = ['le', 'version', 'node_version', 'configuration'];

const METRIC_HEAD = {
  en: ['metric', 'type', 'labels', 'meaning'],
  zh: ['指标', '类型', '标签', '含义'],
} satisfies Record<Language, string[]>;
const LABEL_HEAD = { en: ['of', 'label', 'values'], zh: ['属于', '标签', '取值'] } satisfies Record<Language, string[]>;

/** The metrics of a replica after every possible event, without those of its process. */
const METRICS = [...(await metricsOfReplica())].flatMap(([name, family]) =>
  name.startsWith(PREFIX) ? [{ ...family, name: name.slice(PREFIX.length) }] : [],
);

/** What the texts lack, or name in vain. */
function problems(): Set<string> {
  const names = METRICS.map(({ name }) => name);
  const named = [...Object.keys(CHINESE), ...LABELS.flatMap(({ metrics }) => metrics)];
  const unknown = named.filter((name) => !names.includes(name)).map((name) => `no metric has the name ${name}`);
  const untranslated = names.filter((name) => CHINESE[name] === undefined).map((name) => `${name} has no Chinese text`);
  const unexplained = METRICS.flatMap(({ name, samples }) =>
    samples
      .flatMap(({ labels }) => Object.entries(labels))
      .filter(([label, value]) => !WITHOUT_TEXT.includes(label) && !isExplained(name, label, value))
      .map(([label, value]) => `no text in both languages names ${label}="${value}" of ${name}`),
  );
  return new Set([...unknown, ...untranslated, ...unexplained]);
}

function isExplained(name: string, label: string, value: string): boolean {
  const text = LABELS.find((one) => one.label === label && one.metrics.includes(name));
  if (text?.isOpen || (text?.orError && Object.hasOwn(ERRORS, value))) return true;
  if (label === 'vendor_code' && KNOWN_RESULTS.has(Number(value))) return true;
  return text !== undefined && Object.values(text.values).every((values) => values.includes(`\`${value}\``));
}

/**
 * The sections of docs/metrics.md that are tables, by their names.
 * @throws Error if a metric or the value of a label has no text
 */
export function metricSections(language: Language): Map<string, string> {
  const found = [...problems()];
  if (found.length > 0) throw new Error(`scripts/reference/metrics.ts: ${found.join('; ')}`);
  const metrics = METRICS.map(({ name, type, help, samples }) => {
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)).filter((label) => label !== 'le'));
    const shown = [...labels].map((label) => `\`${label}\``).join(', ') || '–';
    return [`\`${PREFIX}${name}\``, type, shown, language === 'en' ? help : `${CHINESE[name]}`];
  });
  const labels = LABELS.map(({ label, of, values }) => [
    of[language],
    `\`${label}\``,
    withTranslatedLinks(values[language], language),
  ]);
  return new Map([
    ['metrics', markdownTable([METRIC_HEAD[language], ...metrics])],
    ['labels', markdownTable([LABEL_HEAD[language], ...labels])],
  ]);
}
