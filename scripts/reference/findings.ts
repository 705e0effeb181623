import { VARIABLES, type Variable } from '../../src/config/variables.ts';
import { THRESHOLDS } from '../../src/telemetry/finding-facts.ts';
import { FINDING_CODES, type FindingCode } from '../../src/token/findings.ts';
import { markdownTable } from '../markdown.ts';
import type { Language, Texts } from './language.ts';

const {
  shares,
  lately,
  usual,
  noLogin,
  endedByRenewals,
  slowLoginMs,
  redisOutage,
  refusedWritesMs,
  dataLossMs,
  outage,
  openCircuit,
  overdueMs,
  certificateMs,
  clockMs,
  configurationMs,
  silentMs,
  missingMs,
} = THRESHOLDS;

const percent = (share: number) => `${share * 100} %`;
const seconds = (ms: number) => ms / 1_000;
const minutes = (ms: number) => ms / 60_000;
const hours = (ms: number) => ms / 3_600_000;

/** @param unit the Chinese measure word of what is counted */
function share(name: keyof typeof shares, en: string, zh: string, unit = '次'): Texts {
  const { least, share: most } = shares[name];
  return {
    en: `${percent(most)} of the ${en}, and at least ${least}`,
    zh: `占${zh}的 ${percent(most)}，并且至少 ${least} ${unit}`,
  };
}

function also({ en, zh }: Texts, more: Texts): Texts {
  return { en: en + more.en, zh: zh + more.zh };
}

/** The settings in which replicas may differ. */
const MAY_DIFFER = [
  ...new Set(
    Object.entries<Variable<unknown>>(VARIABLES)
      .filter(([, { replicasMayDiffer }]) => replicasMayDiffer)
      .map(([name]) => `\`${name.replace(/^OTEL_.*/, 'OTEL_*')}\``),
  ),
];

const LOST: Texts = {
  en: `for ${hours(dataLossMs)} hours after a replica noticed it, unless it restarts`,
  zh: `某个副本发现之后的 ${hours(dataLossMs)} 小时内，除非它重启`,
};

/** When the facts become a finding, with the numbers of the code. */
const RULES: Readonly<Record<FindingCode, Texts>> = {
  redis_unreachable: {
    en: `nothing succeeds for ${seconds(redisOutage.ms)} s, with ${redisOutage.least} failures`,
    zh: `${seconds(redisOutage.ms)} 秒内无一成功，并且失败 ${redisOutage.least} 次`,
  },
  redis_refuses_writes: {
    en: `for ${seconds(refusedWritesMs)} s, while Redis answers`,
    zh: `持续 ${seconds(refusedWritesMs)} 秒，而 Redis 仍有响应`,
  },
  vendor_rejects: also(share('rejectedLogins', 'logins', '登录'), {
    en: `; or as \`vendor_down\`, if the last answer was such a refusal. The app, its signature, the clock or a field is refused. Refusals of a field in a row for one account count once`,
    zh: `；或与 \`vendor_down\` 的条件相同，而最后的响应是这类拒绝。App、它的签名、时钟或某个字段被拒绝。同一账号连续的字段拒绝只计一次`,
  }),
  vendor_down: {
    en: `nothing succeeds at a domain for ${minutes(outage.ms)} minutes, with ${outage.least} failures, or for ${seconds(openCircuit.ms)} s with an open circuit`,
    zh: `某个域名 ${minutes(outage.ms)} 分钟内无一成功，并且失败 ${outage.least} 次；或已熔断，${seconds(openCircuit.ms)} 秒内无一成功`,
  },
  accounts_closed: also(share('closedAccounts', 'logins', '登录', '个'), {
    en: '. It stays for 5 minutes',
    zh: '。显示 5 分钟',
  }),
  session_check_fails: also(share('uncheckedSessions', 'checks', '校验'), {
    en: `; or nothing succeeds for ${minutes(outage.ms)} minutes, with ${outage.least} failures`,
    zh: `；或 ${minutes(outage.ms)} 分钟内无一成功，并且失败 ${outage.least} 次`,
  }),
  sessions_refused: also(share('refusedSessions', 'checks', '校验'), {
    en: `; or ${percent(usual.above)} more than in the hour before, if it had ${usual.least} checks. In mode \`jwt\`, only signed JWTs count, of any issuer: anybody can send another bearer token`,
    zh: `；或比此前一小时高 ${percent(usual.above)}（该小时至少有 ${usual.least} 次校验）。\`jwt\` 模式下只计已签名的 JWT，不论签发者：其他 bearer 令牌任何人都能发送`,
  }),
  vendor_fails_logins: also(share('failedLogins', 'logins that were sent', '已发送登录'), {
    en: `. With few logins: in 5 or ${noLogin.minutes} minutes none succeeds, and ${noLogin.least} fail, of ${noLogin.accounts} accounts or more`,
    zh: `。登录很少时：5 或 ${noLogin.minutes} 分钟内无一成功，并且失败 ${noLogin.least} 次，涉及至少 ${noLogin.accounts} 个账号`,
  }),
  reads_fail: also(share('failedReads', 'reads', '读取'), {
    en: '. Failures of one account in a row count once',
    zh: '。同一账号连续的失败只计一次',
  }),
  tokens_ended: {
    en: 'one token in use ended without a renewal in the last hour',
    zh: '最近一小时内有一个使用中的令牌未刷新就过期',
  },
  redis_lost_data: LOST,
  redis_went_back: LOST,
  renewals_late: {
    en: `the oldest one by ${minutes(overdueMs)} minutes. One that failed is due at its next try, within 8 minutes`,
    zh: `最久的逾期 ${minutes(overdueMs)} 分钟。失败的刷新在 8 分钟内重试，到那时才算待刷新`,
  },
  renewals_end_tokens: {
    en: `apps of ${endedByRenewals.least} accounts report within ${hours(endedByRenewals.minutes * 60_000)} hours a refused token that a background renewal had replaced while it was valid. Each replica counts at most ${endedByRenewals.accounts} accounts`,
    zh: `${hours(endedByRenewals.minutes * 60_000)} 小时内有 ${endedByRenewals.least} 个账号的 App 报告令牌被拒，而该令牌是在有效期内被后台刷新替换的。每个副本最多统计 ${endedByRenewals.accounts} 个账号`,
  },
  vendor_slow: {
    en: `${share('slowLogins', 'logins', '').en}: they take more than ${seconds(slowLoginMs)} s`,
    zh: `超过 ${seconds(slowLoginMs)} 秒的登录占 ${percent(shares.slowLogins.share)}，并且至少 ${shares.slowLogins.least} 次`,
  },
  replica_missing: {
    en: `one that did not shut down is silent in Redis for ${seconds(silentMs)} s. It is shown for ${minutes(missingMs)} minutes`,
    zh: `未经停机流程的副本 ${seconds(silentMs)} 秒没有在 Redis 中留下消息。显示 ${minutes(missingMs)} 分钟`,
  },
  configuration_differs: {
    en: `for ${minutes(configurationMs)} minutes; at once if a replica lacks the key with which another one encrypts. ${MAY_DIFFER.join(', ')} may differ`,
    zh: `持续 ${minutes(configurationMs)} 分钟；若某个副本缺少其他副本用来加密的密钥，则立即出现。${MAY_DIFFER.join('、')} 可以不同`,
  },
  clock_differs: {
    en: `by ${seconds(clockMs)} s from Redis or the vendor`,
    zh: `与 Redis 或厂商相差 ${seconds(clockMs)} 秒`,
  },
  certificate_ends: {
    en: `in less than ${hours(certificateMs) / 24} days`,
    zh: `有效期剩余不到 ${hours(certificateMs) / 24} 天`,
  },
};

const SHARES: Texts = {
  en: `A share is counted over all replicas, and over each one. It must be reached in the last 5 minutes, and go on in the last minute. ${lately.times} times the share in the last minute alone is enough, or ${percent(lately.most)} if that is less. So a fault of most events shows within a minute. A login counts once, after its retries. A finding ends a minute after the last failure, or later with few events.`,
  zh: `比例按全部副本合计或单个副本计算：最近 5 分钟达到阈值，并且最近 1 分钟仍在持续。若最近 1 分钟已达阈值的 ${lately.times} 倍（以 ${percent(lately.most)} 为上限），则立即判定，因此影响多数事件的故障会在 1 分钟内显示。一次登录连同重试只计一次。最后一次失败的一分钟后问题结束；事件少时会更晚。`,
};

const HEAD = { en: ['finding', 'when'], zh: ['问题', '何时出现'] } as const satisfies Record<Language, string[]>;

/** The section of docs/console.md on the findings. */
export function findingSections(language: Language): Map<string, string> {
  const rows = FINDING_CODES.map((code) => [`\`${code}\``, RULES[code][language]]);
  return new Map([['findings', `${SHARES[language]}\n\n${markdownTable([[...HEAD[language]], ...rows])}`]]);
}
