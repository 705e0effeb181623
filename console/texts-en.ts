import type { StatusReport } from '../src/http/status-report.ts';
import type { Format } from './format.ts';

export type Finding = StatusReport['findings'][number];
/** What is wrong, and one action. */
type Write = (
  finding: Finding,
  format: Format,
) => {
  readonly text: string;
  /** Said only while apps get no errors. */
  readonly kept?: string;
  readonly next: string;
};

const run = 'Run `node dist/main.js check`.';
const kept = 'Known tokens are served.';

function plural(count: number | undefined, one: string, many: string, f: Format): string {
  return count === undefined ? `some ${many}` : `${f.number(count)} ${count === 1 ? one : many}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Nothing if the count is not known, for example of another replica of an earlier version. */
function counted(count: number | undefined, f: Format, after = ''): string {
  return count === undefined ? '' : ` (${f.number(count)}${after})`;
}

function shareOf(share: number | undefined, what: string, f: Format): string {
  return share === undefined ? what : `${f.percent(share)} of the ${what}`;
}

function withReason(reason: string | undefined): string {
  return reason === undefined ? '' : `, most with ${reason}`;
}

function named(fact: string | undefined): string {
  return fact === undefined ? '' : ` (${fact})`;
}

const findings: Readonly<Record<Finding['code'], Write>> = {
  redis_unreachable: ({ reason }) => ({
    text: `Redis does not answer${named(reason)}. Known tokens come from memory.`,
    next: 'Restore Redis. Do not restart the replicas: their memory holds the tokens.',
  }),
  redis_refuses_writes: ({ reason = '' }) => {
    const why: Readonly<Record<string, string>> = {
      oom: 'its memory is full',
      readonly: 'it is read-only',
      misconf: 'it cannot save to its disk',
    };
    return {
      text: `Redis refuses writes${reason === '' ? '' : `: ${why[reason] ?? reason}`}. No new token can be kept.`,
      next:
        reason === 'readonly'
          ? 'See which Redis is the master, and whether enough replicas follow it. Do not restart the replicas of the broker.'
          : reason === ''
            ? 'See why in the log of Redis. Do not restart the replicas: their memory holds the tokens.'
            : 'Give Redis more room. Do not restart the replicas: their memory holds the tokens.',
    };
  },
  vendor_rejects: ({ host, reason, vendorCode, share, count }, f) => {
    const isClock = reason === 'clock_skew';
    const isSignature = vendorCode === 10_007;
    const what = isClock ? 'the time in our signature' : isSignature ? 'our signature' : 'our app';
    const often = share === undefined ? '' : ` in ${shareOf(share, 'logins', f)}${counted(count, f, ' in 5 minutes')}`;
    const code = vendorCode === undefined ? '' : `, code ${vendorCode}`;
    return {
      text: `The vendor${named(host)} refuses ${what}${often}${isSignature || isClock ? '' : code}.`,
      next: isClock
        ? `Correct the clock of the hosts (NTP). ${run}`
        : isSignature
          ? `${run} Compare the appKey with the vendor’s.`
          : `${run} If all is ok, the appToken is wrong or the app is frozen: \`check --login\` with a test account shows it.`,
    };
  },
  vendor_down: ({ host, reason }) => ({
    text: `No login succeeds at the vendor${named(host)}${reason ? `: ${reason}` : ''}.`,
    kept,
    next: `${run} If all is ok, only the vendor’s login service is down: tell the vendor. The broker tries again by itself.`,
  }),
  accounts_closed: ({ count }, f) => ({
    text: `The vendor closed ${plural(count, 'account', 'accounts', f)} in the last 5 minutes. Their tokens are deleted.`,
    next: 'Ask the vendor at once whether it meant to.',
  }),
  session_check_fails: ({ reason }) => ({
    text: `Sessions cannot be checked${named(reason)}. Known ones are accepted for a while.`,
    next: 'Restore your session server or its JWKS URL, or the way to it.',
  }),
  sessions_refused: ({ count, share }, f) => ({
    text: `The broker refused ${shareOf(share, 'sessions', f)} in the last 5 minutes${counted(count, f)}. Users may be locked out.`,
    next: 'Take a session of a new login and run `node dist/main.js check --session`.',
  }),
  vendor_fails_logins: ({ count, share, reason }, f) => ({
    text: `The vendor fails ${shareOf(share, 'logins', f)} in the last 5 minutes${counted(count, f)}${withReason(reason)}.`,
    kept,
    next:
      reason === 'maintenance'
        ? 'Ask the vendor when its maintenance ends. The broker tries again by itself.'
        : `${run} If all is ok, tell the vendor the share and the reason.`,
  }),
  reads_fail: ({ count, share, reason }, f) => ({
    text: `${capital(shareOf(share, 'reads', f))} failed in the last 5 minutes${counted(count, f)}${withReason(reason)}.`,
    next: 'Look at the codes under “Recent failures”, and at the log lines with this code.',
  }),
  tokens_ended: ({ count }, f) => ({
    text: `${capital(plural(count, 'token', 'tokens', f))} in use ended without a renewal in the last hour.`,
    next: 'Look for the cause in the other findings. If there is none, report it.',
  }),
  redis_lost_data: () => ({
    text: 'Redis came back without its data. Each replica writes back what it remembers.',
    next: 'Let your cloud repeat recent erasures. Do not restart the replicas.',
  }),
  redis_went_back: () => ({
    text: 'Redis came back with older data, for example from a snapshot. Each replica writes back what it remembers.',
    next: 'Let your cloud repeat the erasures since that snapshot. Do not restart the replicas.',
  }),
  renewals_late: ({ count, seconds }, f) => ({
    text: `${capital(plural(count, 'token is', 'tokens are', f))} overdue for renewal${seconds === undefined ? '' : `, the oldest by ${f.duration(seconds * 1_000)}`}.`,
    next: 'See whether logins fail, or VENDOR_MAX_RPS is too small.',
  }),
  vendor_slow: ({ count, share }, f) => ({
    text: `${capital(shareOf(share, 'logins', f))} take more than 3 s at the vendor${counted(count, f, ' in 5 minutes')}.`,
    next: 'Ask the vendor.',
  }),
  replica_missing: ({ count, replicas = [], since }, f) => ({
    text: `${count === 1 ? '1 replica does' : `${capital(plural(count, 'replica', 'replicas', f))} do`} not answer since ${f.minute(Date.parse(since))}: ${replicas.join(', ')}. ${count === 1 ? 'It' : 'Each'} has ended without a shutdown, or hangs.`,
    next: 'See why the process or its host ended or hangs, and whether a new one took its place.',
  }),
  configuration_differs: ({ count, replicas = [] }, f) => ({
    text:
      count === undefined
        ? `The versions or configurations differ between ${replicas.join(' and ')}.`
        : `${plural(count, 'replica has', 'replicas have', f)} another version or configuration: ${replicas.join(', ')}.`,
    next: 'Finish the roll-out, or make all replicas read the secrets again.',
  }),
  clock_differs: ({ host, seconds }, f) => ({
    text: `The clocks of this host and of ${host ?? 'Redis'} differ${seconds === undefined ? '' : ` by ${f.duration(seconds * 1_000)}`}.`,
    next: 'Correct the clock of the host (NTP).',
  }),
};

/** The page in English. The other language has the same keys. */
export const EN = {
  title: 'Broker console',
  language: 'Language',
  forget: 'End the session',
  skip: 'Skip to the content',
  version: 'version',

  askTitle: 'Admin token',
  askWhy:
    'The console asks the internal API of this replica, which needs an admin token (ADMIN_TOKEN, or one of ADMIN_TOKENS).',
  askKept:
    'The page sends the token once, encrypted for the process that served the page, and forgets it. After a reload it asks again.',
  askLabel: 'Token',
  askSubmit: 'Open the console',
  askShow: 'Show the token',
  tokenWrong: 'The broker does not accept this token. Check it and try again.',
  tokenEnded:
    'The broker no longer accepts the token. It was changed or removed. Enter the current one. Your input below is kept.',
  tokenMissing: 'Enter a token.',
  tokenCharacters: 'A token has visible ASCII characters only. Check that you copied the token itself.',
  tooManyWrong: (wait: string) =>
    `Too many wrong tokens. The broker answers the next wrong one in ${wait}. The correct token works at once.`,

  insecure:
    'The browser encrypts nothing on this address. Open the console over a port-forward as http://127.0.0.1, or over HTTPS.',
  foreign:
    'The session of this page has ended, or something else answers at this address. It got nothing that it can use.',
  foreignNext:
    'If your port-forward has ended, start a new one and open its address in a private window. Otherwise, reload the page and enter the token. A session ends when the broker restarts, after 30 minutes without a question, and after 12 hours.',

  allFine: 'All tokens are fine.',
  lastLogin: (ago: string) => `Last vendor login of the replica that answers: ${ago}.`,
  noLogin: 'The replica that answers has not logged in at the vendor yet.',
  noTokens: 'Everything works. There is no token yet.',
  noTokensNext: 'The first token comes with the first request of an app.',
  loading: 'The console asks the broker …',
  nextStep: 'Next step',
  also: 'Also',
  runbookOf: (code: string) => `Runbook for ${code}`,
  seenBy: (replicas: string) => `Seen by ${replicas}.`,
  foundSince: (time: string, ago: string) => `Since ${time} (${ago}).`,
  firstEnd: (left: string, time: string) => `The first token in use ends ${left} (${time}).`,
  firstEnded: (time: string) => `Tokens in use have ended since ${time}.`,
  appsGetErrors: (share: string) => `Apps get errors: ${share === '' ? 'many' : share} of the reads fail.`,
  firstEndUnknown: 'When the first token in use ends is not known at this moment.',
  endsPerHour: 'Tokens in use that end, per hour',
  endsPerHourCut: 'Tokens in use that end, per hour: at least',
  orSooner: (time: string) => `${time} or sooner`,
  asOf: (age: string) => `Updated ${age} ago`,
  noAnswer: (time: string) => `This replica does not answer. The data below is from ${time}.`,
  noAnswerYet: 'This replica does not answer.',
  noAnswerNext: 'Check that the process runs and that your port-forward is up. The console tries again by itself.',
  noAnswerStatus: (status: number, requestId: string) => `It answered HTTP ${status} (request ${requestId}).`,
  closing: 'This replica is shutting down.',
  closingNext: 'Connect the port-forward to another replica.',

  findings,

  dependencies: 'Dependencies',
  dependency: 'System',
  state: 'State',
  lastSuccess: 'Last success',
  lastFailure: 'Last failure',
  never: 'never',
  none: 'none',
  vendor: 'Vendor',
  redis: 'Redis',
  memoryStore: 'Store in this process',
  sessionServer: 'Session server',
  noSessionServer: 'no server needed',
  states: {
    ok: 'works',
    failing: 'fails',
    refusesWrites: 'refuses writes',
    down: 'unreachable',
    open: 'circuit open',
    halfOpen: 'circuit half-open',
    unknown: 'not used yet',
  },
  clockOffset: (duration: string) => `clock differs by ${duration}`,
  vendorCode: (code: number) => `code ${code}`,

  fleet: 'Replicas',
  replica: 'Replica',
  replicaVersion: 'Version',
  replicaFindings: 'Findings',
  clockDifference: 'Clock difference',
  configuration: 'Configuration',
  fine: 'none',
  unknown: 'not known',
  missingFor: (age: string) => `missing for ${age}`,
  differs: 'differs',
  fleetWhy:
    'Clock difference: to the clock of Redis. Configuration: a digest of settings and secrets, the same on replicas with the same ones.',

  due: 'What falls due',
  dueWhy:
    'Over all replicas. A token is due for renewal some days before it ends. Each count includes the ones before it.',
  dueUnknown: 'Unknown while Redis does not answer.',
  dueNow: 'now',
  dueHour: 'within 1 h',
  dueDay: 'within 24 h',
  dueWeek: 'within 7 d',
  dueMonth: 'within 30 d',
  total: 'all tokens',
  overdueFor: 'oldest overdue',
  ended: 'ended unrenewed, last hour',
  firstEndAt: 'first token ends',
  next24: 'Tokens due per hour, next 24 hours',
  next30: 'Tokens due per day, next 30 days',
  now: 'now',
  hours: (count: number) => `+${count} h`,
  days: (count: number) => `+${count} d`,
  summaryDue: (label: string, total: string, peak: string) =>
    `${label}: ${total} tokens in all, ${peak} at most in one interval.`,

  lastHour: 'Last hour',
  replicaOnly: (replica: string) => `Counted by this replica (${replica}) alone, per minute.`,
  charts: {
    reads: 'Reads per minute',
    renewals: 'Renewals per minute',
    logins: 'Logins at the vendor per minute',
    sessions: 'Session checks per minute',
  },
  groups: {
    served: 'served',
    fallback: 'old token served',
    refused: 'refused',
    failed: 'failed',
    renewed: 'renewed',
    loggedIn: 'succeeded',
    paced: 'held back by our own pace',
    accepted: 'accepted',
    unchecked: 'not checked',
  },
  hourAgo: '60 min ago',
  noEvents: 'nothing',

  load: 'Load',
  budget: 'Login budget',
  budgetUsed: (share: string, perSecond: string) => `${share} of ${perSecond}/s used by this replica`,
  budgetWaiting: (count: string) => `${count} logins wait, over all replicas`,
  budgetUnknown: 'waiting logins: unknown while Redis does not answer',
  budgetOff: 'no limit (VENDOR_MAX_RPS=0)',
  tokensInMemory: 'Tokens in memory',
  upSince: 'Running since',
  sessionMode: 'Session mode',

  failures: 'Recent failures',
  meaning: (when: string, actor: string) => `${when}. Who acts: ${actor}.`,
  actors: {
    app: 'the app',
    user: 'the user',
    cloud: 'your cloud',
    operator: 'you',
    vendor: 'the vendor',
    nobody: 'nobody, the app asks again',
  },
  failuresWhy: 'Of this replica, by error code.',
  code: 'Code',
  minutes5: '5 min',
  minutes60: '60 min',
  requests: 'Requests',
  backgroundRenewals: 'Background renewals',
  noFailures: 'No failure in the last hour.',
  paced: (recent: string, hour: string) =>
    `The login budget held ${recent} background renewals back in 5 min, ${hour} in 60 min. They are tried again: no failure.`,

  account: 'Account',
  accountWhy: 'Each look-up leaves an audit line with the name of your token.',
  lookUpBy: 'Look up by',
  unionId: 'unionId',
  accessId: 'accessId',
  lookUp: 'Look up',
  lookupRequest: 'Why did one request fail? Search the log for its requestId:',
  lookupRunbook: 'A user cannot log in',
  idMissing: 'Enter an id.',
  idUnsendable: 'A browser cannot send this id in a path. Use curl with --path-as-is.',
  unknownAccount: 'The broker does not know this account. It has never logged in here, or it was erased.',
  unknownAccountBecause: (detail: string) =>
    `The broker does not know this account. It has never logged in here, or it was erased. The broker's answer: ${detail}.`,
  found: (terminals: number) => `Account found, with ${terminals} ${terminals === 1 ? 'terminal' : 'terminals'}.`,
  region: 'Country',
  coolDown: 'Cool-down',
  coolDownUntil: (until: string, code: string) => `logins pause until ${until}, after ${code}`,
  noCoolDown: 'none',
  terminals: 'Terminals',
  terminalsUsed: (count: string, limit: string) => `${count} of ${limit} phones, the oldest token first`,
  terminalsFull: 'A new phone gets `terminal_limit`: log a lost one out.',
  noTerminals: 'No terminal has a valid token.',
  terminal: 'Terminal (uniqueId)',
  app: 'App',
  issued: 'Issued',
  renewalDue: 'Renewal due',
  expires: 'Ends',
  readState: 'Read since renewal',
  yes: 'yes',
  no: 'no',
  actions: 'Actions',
  logOut: 'Log out',
  logOutOf: (terminal: string) => `Log out ${terminal}`,
  erase: 'Erase the account …',

  confirmLogOut: 'Log this terminal out?',
  confirmLogOutText: (terminal: string) =>
    `The broker deletes the token of ${terminal} on every replica. The app can get a new one with a valid session.`,
  confirmErase: 'Erase this account?',
  confirmEraseText:
    'The broker deletes all tokens, the schedule and the accessId of the account. It refuses every session issued until now. This cannot be undone.',
  retype: 'Type the unionId to confirm:',
  retypeWrong: 'This is not the unionId of the account.',
  cancel: 'Cancel',
  confirmLogOutButton: 'Log out',
  confirmEraseButton: 'Erase',
  loggedOut: (terminal: string) => `${terminal} is logged out.`,
  erased: 'The account is erased.',

  problem: (title: string, code: string, requestId: string) => `${title} (${code}). Request ${requestId}.`,
  tooMany: (wait: string) => `Too many requests. Try again in ${wait}.`,
  unreachable: 'The replica did not answer. Nothing is known about the result: look it up again.',

  demo: {
    title: 'The flow, live',
    why: 'This demo runs all parts on this machine. A token lives for some seconds here, so that you see its renewals.',
    app: 'App',
    broker: 'Broker',
    vendor: 'Vendor',
    diagram: 'The app asks the broker for a token. The broker logs in to the vendor.',
    asks: 'The app asks every 3 seconds',
    askOnce: 'Ask now',
    switches: 'The vendor',
    faults: {
      none: 'works',
      'http-500': 'answers HTTP 500',
      hang: 'does not answer',
      'frozen-app': 'refuses the app',
      maintenance: 'is under maintenance',
      html: 'sends HTML',
    },
    switched: (state: string) => `The vendor ${state} from now on.`,
    life: 'Life of the token',
    lifeText: (age: string, left: string) => `issued ${age} ago, ends in ${left}`,
    lifeDue: (left: string) => `renewal due in ${left}`,
    lifeDueNow: 'renewal is due',
    lifeNone: 'There is no token now.',
    events: 'Events',
    noEvents: 'Nothing has happened yet.',
    read: (outcome: string, ms: string) => `App → broker: ${outcome}, ${ms} ms`,
    readServed: (token: string) => `token ${token}`,
    readFailed: (code: string) => `failed with ${code}`,
    login: (result: string, ms: string) => `Broker → vendor: ${result}, ${ms} ms`,
    loginBackground: (result: string, ms: string) => `Broker → vendor, in the background: ${result}, ${ms} ms`,
    loginSuccess: 'login succeeded',
    loginRefused: (code: string) => `login refused (${code})`,
    loginFault: (fault: string) => `login failed (${fault})`,
    tryAccount: (unionId: string) => `Look up “${unionId}” under Account to see its terminal.`,
  },
};

export type Texts = typeof EN;
