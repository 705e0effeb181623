import type { Format } from './format.ts';
import type { Texts } from './texts-en.ts';

const run = '运行 `node dist/main.js check`。';
const kept = '已知的令牌照常提供。';

/** Nothing if the count is not known, for example of another replica of an earlier version. */
function counted(count: number | undefined, f: Format, before = ''): string {
  return count === undefined ? '' : `（${before}${f.number(count)} 次）`;
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

const findings: Texts['findings'] = {
  redis_unreachable: ({ reason }) => ({
    text: `Redis 无响应${named(reason)}。已知的令牌由内存提供。`,
    next: '请恢复 Redis。不要重启副本：令牌还在它们的内存里。',
  }),
  redis_refuses_writes: ({ reason = '' }) => {
    const why: Readonly<Record<string, string>> = {
      oom: '内存已满',
      readonly: '处于只读状态',
      misconf: '无法写入磁盘',
    };
    return {
      text: `Redis 拒绝写入${reason === '' ? '' : `：${why[reason] ?? reason}`}。新的令牌无法保存。`,
      next:
        reason === 'readonly'
          ? '确认哪个 Redis 是主节点，以及跟随它的从节点是否足够。不要重启 Broker 的副本。'
          : reason === ''
            ? '在 Redis 的日志中查看原因。不要重启副本：令牌还在它们的内存里。'
            : '给 Redis 更多空间。不要重启副本：令牌还在它们的内存里。',
    };
  },
  vendor_rejects: ({ host, reason, vendorCode, share, count }, f) => {
    const isClock = reason === 'clock_skew';
    const isSignature = vendorCode === 10_007;
    const what = isClock ? '签名中的时间' : isSignature ? '我们的签名' : '我们的 App';
    const often = share === undefined ? '' : `，占登录的 ${f.percent(share)}${counted(count, f, '5 分钟内 ')}`;
    const code = vendorCode === undefined ? '' : `，结果码 ${vendorCode}`;
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
  accounts_closed: ({ count }, f) => ({
    text: `最近 5 分钟厂商关闭了${some(count, f)}个账号，它们的令牌已删除。`,
    next: '立即向厂商确认是否有意为之。',
  }),
  session_check_fails: ({ reason }) => ({
    text: `无法校验会话${named(reason)}。已校验过的会话在一段时间内仍被接受。`,
    next: '请恢复会话服务器或 JWKS 地址，或到它们的网络。',
  }),
  sessions_refused: ({ count, share }, f) => ({
    text: `最近 5 分钟有${shareOf(share, f)}的会话被拒绝${counted(count, f)}，用户可能无法登录。`,
    next: '用一次新登录的会话运行 `node dist/main.js check --session`。',
  }),
  vendor_fails_logins: ({ count, share, reason }, f) => ({
    text: `最近 5 分钟向厂商的登录有${shareOf(share, f)}失败${counted(count, f)}${withReason(reason)}。`,
    kept,
    next:
      reason === 'maintenance'
        ? '询问厂商维护何时结束。Broker 会自动重试。'
        : `${run}如果全部正常，把比例和原因告诉厂商。`,
  }),
  reads_fail: ({ count, share, reason }, f) => ({
    text: `最近 5 分钟有${shareOf(share, f)}的读取失败${counted(count, f)}${withReason(reason)}。`,
    next: '查看“最近的失败”中的错误码，并在日志中查找该错误码。',
  }),
  tokens_ended: ({ count }, f) => ({
    text: `最近一小时有${some(count, f)}个使用中的令牌未刷新就已过期。`,
    next: '从其他问题中查找原因。如果没有，请上报。',
  }),
  redis_lost_data: () => ({
    text: 'Redis 恢复后数据为空。各副本会写回内存中的内容。',
    next: '请让你的云重做近期的清除。不要重启副本。',
  }),
  redis_went_back: () => ({
    text: 'Redis 恢复后数据变旧，例如来自快照。各副本会写回内存中的内容。',
    next: '请让你的云重做该快照之后的清除。不要重启副本。',
  }),
  renewals_late: ({ count, seconds }, f) => ({
    text: `有${some(count, f)}个令牌逾期未刷新${seconds === undefined ? '' : `，最久的已逾期 ${f.duration(seconds * 1_000)}`}。`,
    next: '查看登录是否失败，或 VENDOR_MAX_RPS 是否太小。',
  }),
  vendor_slow: ({ count, share }, f) => ({
    text: `有${shareOf(share, f)}的登录在厂商处耗时超过 3 秒${counted(count, f, '5 分钟内 ')}。`,
    next: '请询问厂商。',
  }),
  replica_missing: ({ count, replicas = [], since }, f) => ({
    text: `自 ${f.minute(Date.parse(since))} 起有${some(count, f)}个副本没有响应：${replicas.join('、')}。可能未经停机流程就结束了，也可能已挂起。`,
    next: '查明进程或主机为何终止或挂起，以及新副本是否已接替。',
  }),
  configuration_differs: ({ count, replicas = [] }, f) => ({
    text:
      count === undefined
        ? `副本之间的版本或配置不一致：${replicas.join('、')}。`
        : `有 ${f.number(count)} 个副本的版本或配置不同：${replicas.join('、')}。`,
    next: '完成滚动升级，或让所有副本重新读取密钥。',
  }),
  clock_differs: ({ host, seconds }, f) => ({
    text: `本机与 ${host ?? 'Redis'} 的时钟${seconds === undefined ? '不一致' : `相差 ${f.duration(seconds * 1_000)}`}。`,
    next: '校准主机时钟（NTP）。',
  }),
};

/** The page in Chinese, with the terms that the vendor's documents use. */
export const ZH: Texts = {
  title: 'Broker 控制台',
  language: '语言',
  forget: '结束会话',
  skip: '跳到正文',
  version: '版本',

  askTitle: '管理令牌',
  askWhy: '控制台访问本副本的内部 API，需要管理令牌（ADMIN_TOKEN，或 ADMIN_TOKENS 中的任意一个）。',
  askKept: '页面只发送一次令牌，并加密为只有提供本页面的进程才能读取，随后即丢弃。刷新页面后需要重新输入。',
  askLabel: '令牌',
  askSubmit: '打开控制台',
  askShow: '显示令牌',
  tokenWrong: '令牌无效，请检查后重试。',
  tokenEnded: '令牌已失效：可能已轮换或移除。请输入当前的令牌。页面中已填写的内容会保留。',
  tokenMissing: '请输入令牌。',
  tokenCharacters: '令牌只能包含可见的 ASCII 字符。请确认复制的是令牌本身。',
  tooManyWrong: (wait) => `错误令牌次数过多，已限流：${wait}后才会处理下一个错误令牌。正确的令牌不受影响。`,

  insecure: '浏览器在这个地址上无法加密。请通过端口转发以 http://127.0.0.1 打开控制台，或使用 HTTPS。',
  foreign: '本页面的会话已结束，或者现在响应这个地址的是别的程序。它没有得到任何可用的内容。',
  foreignNext:
    '如果端口转发已中断，请重新建立，并在无痕窗口中打开它的地址；否则刷新页面并重新输入令牌。Broker 重启、30 分钟没有请求或满 12 小时，会话都会结束。',

  allFine: '所有令牌正常。',
  lastLogin: (ago) => `应答的副本最近一次成功登录厂商：${ago}。`,
  noLogin: '应答的副本还没有登录过厂商。',
  noTokens: '各部分正常，目前还没有令牌。',
  noTokensNext: 'App 第一次请求时会产生第一个令牌。',
  loading: '正在查询服务状态……',
  nextStep: '下一步',
  also: '另外',
  runbookOf: (code) => `运维手册：${code}`,
  seenBy: (replicas) => `发现于 ${replicas}。`,
  foundSince: (time, ago) => `始于 ${time}（${ago}）。`,
  firstEnd: (left, time) => `第一个使用中的令牌将在 ${left}过期（${time}）。`,
  firstEnded: (time) => `自 ${time} 起已有使用中的令牌过期。`,
  appsGetErrors: (share) => `App 正在收到错误：有${share === '' ? '很多' : ` ${share} 的`}读取失败。`,
  firstEndUnknown: '暂时不知道第一个使用中的令牌何时过期。',
  endsPerHour: '每小时过期的使用中令牌（个）',
  endsPerHourCut: '每小时至少过期的使用中令牌（个）',
  orSooner: (time) => `${time}（或更早）`,
  asOf: (age) => `${age}前更新`,
  noAnswer: (time) => `本副本没有响应。以下是 ${time} 的数据。`,
  noAnswerYet: '本副本没有响应。',
  noAnswerNext: '请确认进程在运行、端口转发未断开。控制台会自动重试。',
  noAnswerStatus: (status, requestId) => `返回了 HTTP ${status}（请求 ${requestId}）。`,
  closing: '本副本正在停机。',
  closingNext: '请把端口转发连到另一个副本。',

  findings,

  dependencies: '依赖',
  dependency: '系统',
  state: '状态',
  lastSuccess: '最近成功',
  lastFailure: '最近失败',
  never: '从未',
  none: '无',
  vendor: '厂商',
  redis: 'Redis',
  memoryStore: '进程内存储',
  sessionServer: '会话服务器',
  noSessionServer: '不需要服务',
  states: {
    ok: '正常',
    failing: '失败',
    refusesWrites: '拒绝写入',
    down: '无响应',
    open: '已熔断',
    halfOpen: '半开（试探中）',
    unknown: '尚未使用',
  },
  clockOffset: (duration) => `时钟相差 ${duration}`,
  vendorCode: (code) => `结果码 ${code}`,

  fleet: '副本',
  replica: '副本',
  replicaVersion: '版本',
  replicaFindings: '问题',
  clockDifference: '时钟差',
  configuration: '配置',
  fine: '无',
  unknown: '未知',
  missingFor: (age) => `已消失 ${age}`,
  differs: '不同',
  fleetWhy: '时钟差：与 Redis 时钟之差。配置：设置与密钥的摘要，相同则摘要相同。',

  due: '待刷新',
  dueWhy: '所有副本合计。令牌会在过期前数天刷新。每个数字都包含前面的数字。',
  dueUnknown: 'Redis 无响应，暂时未知。',
  dueNow: '现在',
  dueHour: '1 小时内',
  dueDay: '24 小时内',
  dueWeek: '7 天内',
  dueMonth: '30 天内',
  total: '令牌总数',
  overdueFor: '最久逾期',
  ended: '未刷新就过期（1 小时内）',
  firstEndAt: '首个令牌过期',
  next24: '未来 24 小时，每小时待刷新令牌（个）',
  next30: '未来 30 天，每天待刷新令牌（个）',
  now: '现在',
  hours: (count) => `+${count} 小时`,
  days: (count) => `+${count} 天`,
  summaryDue: (label, total, peak) => `${label}：共 ${total} 个令牌，单个区间最多 ${peak} 个。`,

  lastHour: '最近一小时',
  replicaOnly: (replica) => `仅本副本（${replica}）的计数，按分钟。`,
  charts: {
    reads: '读取（次/分钟）',
    renewals: '刷新（次/分钟）',
    logins: '向厂商登录（次/分钟）',
    sessions: '会话校验（次/分钟）',
  },
  groups: {
    served: '已提供',
    fallback: '提供旧令牌',
    refused: '被拒绝',
    failed: '失败',
    renewed: '已刷新',
    loggedIn: '成功',
    paced: '受自身节奏限制',
    accepted: '接受',
    unchecked: '无法校验',
  },
  hourAgo: '60 分钟前',
  noEvents: '无',

  load: '负载',
  budget: '登录配额',
  budgetUsed: (share, perSecond) => `本副本用了每秒 ${perSecond} 次中的 ${share}`,
  budgetWaiting: (count) => `所有副本共 ${count} 个登录在排队`,
  budgetUnknown: 'Redis 无响应，排队数未知',
  budgetOff: '不限流（VENDOR_MAX_RPS=0）',
  tokensInMemory: '内存中的令牌',
  upSince: '启动于',
  sessionMode: '会话模式',

  failures: '最近的失败',
  meaning: (when, actor) => `${when}。由谁处理：${actor}。`,
  actors: {
    app: 'App',
    user: '用户',
    cloud: '你的云',
    operator: '你',
    vendor: '厂商',
    nobody: '无需处理，App 会重试',
  },
  failuresWhy: '仅本副本，按错误码。',
  code: '错误码',
  minutes5: '5 分钟',
  minutes60: '60 分钟',
  requests: '请求',
  backgroundRenewals: '后台刷新',
  noFailures: '最近一小时没有失败。',
  paced: (recent, hour) =>
    `登录配额推迟了后台刷新：5 分钟内 ${recent} 次，60 分钟内 ${hour} 次。它们会重试，不是失败。`,

  account: '账号',
  accountWhy: '每次查询都会留下审计日志，含你的令牌名称。',
  lookUpBy: '查询方式',
  unionId: 'unionId',
  accessId: 'accessId',
  lookUp: '查询',
  lookupRequest: '某个请求为何失败？请用它的 requestId 搜索日志：',
  lookupRunbook: '用户无法登录',
  idMissing: '请输入 ID。',
  idUnsendable: '浏览器无法在路径中发送这个 ID，请用 curl --path-as-is。',
  unknownAccount: '没有这个账号：从未在此登录，或已被清除。',
  unknownAccountBecause: (detail) => `没有这个账号：从未在此登录，或已被清除。Broker 的响应：${detail}。`,
  found: (terminals) => `找到账号，共 ${terminals} 个终端。`,
  region: '国家/地区',
  coolDown: '冷却',
  coolDownUntil: (until, code) => `登录暂停到 ${until}，原因 ${code}`,
  noCoolDown: '无',
  terminals: '终端',
  terminalsUsed: (count, limit) => `${count} 部手机，上限 ${limit} 部，令牌最早签发的在前`,
  terminalsFull: '新手机会得到 `terminal_limit`：请登出一部丢失的手机。',
  noTerminals: '没有持有有效令牌的终端。',
  terminal: '终端（uniqueId）',
  app: 'App',
  issued: '签发',
  renewalDue: '刷新时间',
  expires: '过期',
  readState: '刷新后已读取',
  yes: '是',
  no: '否',
  actions: '操作',
  logOut: '登出',
  logOutOf: (terminal) => `登出 ${terminal}`,
  erase: '清除账号……',

  confirmLogOut: '登出这个终端？',
  confirmLogOutText: (terminal) => `将在所有副本上删除 ${terminal} 的令牌。App 用有效会话可以重新获取令牌。`,
  confirmErase: '清除这个账号？',
  confirmEraseText: '将删除该账号的所有令牌、刷新计划和 accessId，并拒绝此刻之前签发的所有会话。此操作无法撤销。',
  retype: '请输入 unionId 以确认：',
  retypeWrong: '与该账号的 unionId 不一致。',
  cancel: '取消',
  confirmLogOutButton: '登出',
  confirmEraseButton: '清除',
  loggedOut: (terminal) => `${terminal} 已登出。`,
  erased: '账号已清除。',

  problem: (title, code, requestId) => `${title}（${code}）。请求 ${requestId}。`,
  tooMany: (wait) => `请求过多，已限流。请在 ${wait}后重试。`,
  unreachable: '副本没有响应，操作结果未知：请重新查询。',

  demo: {
    title: '实时流程',
    why: '演示模式：所有部分都在本机运行。令牌只有几秒的有效期，便于观察刷新。',
    app: 'App',
    broker: 'Broker',
    vendor: '厂商',
    diagram: 'App 向 Broker 请求令牌，Broker 向厂商登录。',
    asks: 'App 每 3 秒请求一次',
    askOnce: '立即请求',
    switches: '厂商',
    faults: {
      none: '正常',
      'http-500': '返回 HTTP 500',
      hang: '不响应',
      'frozen-app': '拒绝 App',
      maintenance: '维护中',
      html: '返回 HTML',
    },
    switched: (state) => `厂商现在：${state}。`,
    life: '令牌有效期',
    lifeText: (age, left) => `${age}前签发，${left}后过期`,
    lifeDue: (left) => `${left}后刷新`,
    lifeDueNow: '待刷新',
    lifeNone: '目前没有令牌。',
    events: '事件',
    noEvents: '还没有事件。',
    read: (outcome, ms) => `App → Broker：${outcome}，${ms} 毫秒`,
    readServed: (token) => `令牌 ${token}`,
    readFailed: (code) => `失败（${code}）`,
    login: (result, ms) => `Broker → 厂商：${result}，${ms} 毫秒`,
    loginBackground: (result, ms) => `Broker → 厂商（后台）：${result}，${ms} 毫秒`,
    loginSuccess: '登录成功',
    loginRefused: (code) => `登录被拒绝（${code}）`,
    loginFault: (fault) => `登录失败（${fault}）`,
    tryAccount: (unionId) => `在“账号”中查询 “${unionId}” 可看到它的终端。`,
  },
};
