import type { Findings } from './findings-en.ts';
import type { Format } from './format.ts';

const run = '运行 `node dist/main.js check`。';
const kept = '已知的令牌照常提供。';

/** Nothing if the count is not known. */
function counted(count: number | undefined, f: Format): string {
  return count === undefined ? '' : `（最近 ${f.number(count)} 次）`;
}

function shareOf(share: number | undefined, f: Format): string {
  return share === undefined ? '一部分' : ` ${f.percent(share)} `;
}

function some(count: number | undefined, f: Format): string {
  return count === undefined ? '若干' : ` ${f.number(count)} `;
}

function withReason(reason: string | undefined): string {
  return reason === undefined ? '' : `，多数为 ${reason}`;
}

function named(fact: string | undefined): string {
  return fact === undefined ? '' : `（${fact}）`;
}

const REFUSALS: Readonly<Record<string, string>> = {
  session_expired: '，其中大多已过期',
  unknown_key: '，其中大多密钥未知或签名错误',
};

export const FINDINGS_ZH: Findings = {
  redis_unreachable: ({ reason }) => ({
    text: `Redis 无响应${named(reason)}。已知的令牌由内存提供。`,
    next: '请恢复 Redis。不要重启副本：令牌还在它们的内存里。',
  }),
  redis_refuses_writes: ({ reason = '' }) => {
    const why: Readonly<Record<string, string>> = {
      oom: '内存已满',
      readonly: '处于只读状态',
      misconf: '无法写入磁盘',
      noperm: '用户缺少权限',
    };
    const next: Readonly<Record<string, string>> = {
      '': '在 Redis 的日志中查看原因。不要重启副本：令牌还在它们的内存里。',
      readonly: '确认哪个 Redis 是主节点，以及跟随它的从节点是否足够。不要重启 Broker 的副本。',
      noperm: '运行 check 命令，它会列出所需的权限。不要重启副本：令牌还在它们的内存里。',
    };
    return {
      text: `Redis 拒绝写入${reason === '' ? '' : `：${why[reason] ?? reason}`}。App 仍能得到令牌，但登出和注销会失败。`,
      next: next[reason] ?? '给 Redis 更多空间。不要重启副本：令牌还在它们的内存里。',
    };
  },
  vendor_rejects: ({ host, reason, vendorCode, share, count }, f) => {
    const isClock = reason === 'clock_skew';
    const isSignature = vendorCode === 10_007;
    const what = isClock ? '签名中的时间' : isSignature ? '我们的签名' : '我们的 App';
    const often = share === undefined ? '' : `，占登录的 ${f.percent(share)}${counted(count, f)}`;
    const code = vendorCode === undefined ? '' : `，结果码 ${vendorCode}`;
    if (reason === 'request') {
      const most = vendorCode === undefined ? '' : `，多数为结果码 ${vendorCode}`;
      return {
        text: `厂商拒绝${shareOf(share, f)}的登录${counted(count, f)}${most}。`,
        next: '询问厂商它拒绝这些登录中的哪个字段。日志中有厂商的请求 ID。',
      };
    }
    return {
      text: `厂商${named(host)}拒绝${what}${often}${isSignature || isClock ? '' : code}。`,
      next: isClock
        ? `校准主机时钟（NTP）。${run}`
        : isSignature
          ? `${run}并与厂商核对 appKey。`
          : `${run}如果全部正常，就是 appToken 错误或 App 被冻结：用测试账号运行 \`check --login\` 可以确认。`,
    };
  },
  vendor_down: ({ host, reason }) => ({
    text: `向厂商${named(host)}的登录无一成功${reason ? `：${reason}` : ''}。`,
    kept,
    next: `${run}如果全部正常，就只是厂商的登录服务有故障：通知厂商。Broker 会自动重试。`,
  }),
  accounts_closed: ({ count, share }, f) => {
    const often = share === undefined ? '' : `，占登录的 ${f.percent(share)}`;
    return {
      text: `最近 6 分钟厂商关闭了${some(count, f)}个账号${often}。这些账号不再有令牌。`,
      next: '立即向厂商确认是否有意为之。',
    };
  },
  session_check_fails: ({ reason, share, count }, f) => ({
    text: `无法校验会话${named(reason)}${share === undefined ? '' : `：有${shareOf(share, f)}的校验失败${counted(count, f)}`}。副本在一段时间内仍接受它已校验过的会话，但新副本没有这样的会话。`,
    next: '请恢复会话服务器或 JWKS 地址，或到它们的网络。不要重启副本。',
  }),
  sessions_refused: ({ count, share, usualShare, reason = '' }, f) => ({
    text:
      `有${shareOf(share, f)}的会话被拒绝${counted(count, f)}` +
      `${usualShare === undefined ? '' : `，此前一小时为 ${f.percent(usualShare)}`}` +
      `${REFUSALS[reason] ?? ''}。用户可能无法登录。`,
    next:
      reason === 'unknown_key'
        ? '把你的云的密钥与 Broker 已知的密钥逐一核对，`kid` 相同的也要核对。'
        : '用一次新登录的会话运行 `node dist/main.js check --session`。',
  }),
  vendor_fails_logins: ({ count, share, reason }, f) => ({
    text: `向厂商的登录有${shareOf(share, f)}失败${counted(count, f)}${withReason(reason)}。`,
    kept,
    next:
      reason === 'maintenance'
        ? '询问厂商维护何时结束。Broker 会自动重试。'
        : `${run}如果全部正常，把比例和原因告诉厂商。`,
  }),
  reads_fail: ({ count, share, reason }, f) => ({
    text: `有${shareOf(share, f)}的读取失败${counted(count, f)}${withReason(reason)}。`,
    next: '查看“最近的失败”中的错误码，并在日志中查找该错误码。',
  }),
  tokens_ended: ({ count }, f) => ({
    text: `最近一小时有${some(count, f)}个使用中的令牌未刷新就已过期。`,
    next: '从其他问题和“依赖”中最近的失败查找原因。',
  }),
  redis_lost_data: () => ({
    text: 'Redis 恢复后数据为空。各副本会写回内存中的内容。',
    next: '请让你的云重做注销，范围见运维手册。不要重启副本。',
  }),
  redis_went_back: () => ({
    text: 'Redis 恢复后数据变旧，例如来自快照。各副本会写回内存中的内容。',
    next: '请让你的云重做该快照之后的注销。不要重启副本。',
  }),
  renewals_late: ({ count, seconds }, f) => ({
    text: `有${some(count, f)}个令牌逾期未刷新${seconds === undefined ? '' : `，最久的已逾期 ${f.duration(seconds * 1_000)}`}。`,
    next: '查看登录是否失败，或 VENDOR_MAX_RPS 是否太小。',
  }),
  renewals_end_tokens: ({ count }, f) => ({
    text: `最近一天有${some(count, f)}个账号的有效令牌被厂商拒绝，而这些令牌此前已由后台刷新替换。`,
    next: '询问厂商：终端再次登录时，旧令牌是否随即失效？如果是，请设置 REFRESH_MODE=on-demand，此后读取待刷新的令牌要等待厂商登录。',
  }),
  vendor_slow: ({ count, share }, f) => ({
    text: `有${shareOf(share, f)}的登录在厂商处耗时超过 3 秒${counted(count, f)}。`,
    next: '请询问厂商。',
  }),
  replica_missing: ({ count, replicas = [], since }, f) => ({
    text: `自 ${f.minute(Date.parse(since))} 起有${some(count, f)}个副本没有响应：${replicas.join('、')}。可能未经停机流程就结束了，可能已挂起，也可能连不上 Redis。`,
    next: '查看进程是否在运行。如果在运行，修复它到 Redis 的网络；否则查明它为何终止，以及新副本是否已接替。',
  }),
  configuration_differs: ({ count, reason, replicas = [] }, f) => ({
    text:
      reason !== undefined
        ? `副本使用不同的加密密钥，互相读不出对方的令牌：${reason}。`
        : count === undefined
          ? `副本之间的版本或配置不一致：${replicas.join('、')}。`
          : `有 ${f.number(count)} 个副本的版本或配置不同：${replicas.join('、')}。`,
    next:
      reason !== undefined
        ? '把缺少的密钥加到 TOKEN_ENCRYPTION_KEYS 的末尾，让每个副本都有全部密钥。'
        : '完成滚动升级，或让所有副本重新读取密钥。',
  }),
  clock_differs: ({ host, seconds, replicas = ['本机'] }, f) => ({
    text: `${replicas.join('、')} 与 ${host ?? 'Redis'} 的时钟${seconds === undefined ? '不一致' : `相差 ${f.duration(seconds * 1_000)}`}。`,
    next: '校准主机时钟（NTP）。',
  }),
  certificate_ends: ({ host = '某台服务器', seconds = 14 * 86_400 }, f) => ({
    text: `${host} 的证书${seconds > 0 ? `将在 ${f.duration(seconds * 1_000)}后到期` : '已经过期'}。到期后无法建立新的连接。`,
    next: '更新该服务器的证书。',
  }),
};
