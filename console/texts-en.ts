import type { Finding } from './findings.ts';
import type { Format } from './format.ts';

type Of<Kind extends Finding['kind']> = Extract<Finding, { kind: Kind }>;

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
    'Check that your port-forward leads to the broker. Then reload the page and enter the token. A session ends when the broker restarts, after 30 minutes without a question, and after 12 hours.',

  allFine: 'All tokens are fine, as far as this replica knows.',
  lastLogin: (ago: string) => `Its last vendor login: ${ago}.`,
  noLogin: 'It has not logged in at the vendor yet.',
  otherReplicas: 'Other replicas: see the alerts.',
  noTokens: 'Everything works. There is no token yet.',
  noTokensNext: 'The first token comes with the first request of an app.',
  loading: 'The console asks the broker …',
  nextStep: 'Next step',
  runbook: 'Runbook',
  /** @param heading of docs/runbooks.md */
  runbookAt: (heading: string) => `docs/runbooks.md#${heading.toLowerCase().replaceAll(' ', '-')}`,
  also: 'Also',
  asOf: (age: string) => `Updated ${age} ago`,
  noAnswer: (time: string) => `This replica does not answer. The data below is from ${time}.`,
  noAnswerYet: 'This replica does not answer.',
  noAnswerNext: 'Check that the process runs and that your port-forward is up. The console tries again by itself.',
  noAnswerStatus: (status: number, requestId: string) => `It answered HTTP ${status} (request ${requestId}).`,
  closing: 'This replica is shutting down.',
  closingNext: 'Connect the port-forward to another replica.',

  findings: {
    storeDown: ({ since, reason }: Of<'storeDown'>, f: Format, now: number) => ({
      text: `Redis does not answer${since ? ` since ${f.since(since, now)}` : ''}${reason ? ` (${reason})` : ''}. Known tokens are served from memory.`,
      next: 'Restore Redis. Do not restart the replicas: their memory holds the tokens.',
    }),
    storeLostData: ({ at }: Of<'storeLostData' | 'storeWentBack'>, f: Format, now: number) => ({
      text: `Redis came back without its data at ${f.since(at, now)}. Each replica writes back what it remembers.`,
      next: 'Let your cloud repeat recent erasures. Do not restart the replicas.',
    }),
    storeWentBack: ({ at }: Of<'storeLostData' | 'storeWentBack'>, f: Format, now: number) => ({
      text: `Redis came back with older data at ${f.since(at, now)}, for example from a snapshot. Each replica writes back what it remembers.`,
      next: 'Let your cloud repeat the erasures since that snapshot. Do not restart the replicas.',
    }),
    signatureRefused: ({ host, since }: Of<'signatureRefused' | 'clockRefused'>, f: Format, now: number) => ({
      text: `The vendor (${host}) has refused our signature since ${f.since(since, now)}.`,
      next: 'Run `node dist/main.js check`. Compare the appKey with the vendor’s.',
    }),
    clockRefused: ({ host, since }: Of<'signatureRefused' | 'clockRefused'>, f: Format, now: number) => ({
      text: `The vendor (${host}) has refused the time in our signature since ${f.since(since, now)}.`,
      next: 'Correct the clock of the hosts (NTP). Run `node dist/main.js check` to see the difference.',
    }),
    appRefused: ({ host, since, vendorCode }: Of<'appRefused'>, f: Format, now: number) => ({
      text: `The vendor (${host}) has refused our app since ${f.since(since, now)}${vendorCode === undefined ? '' : ` (code ${vendorCode})`}.`,
      next: 'Run `node dist/main.js check`. If all is ok, the appToken is wrong or the app is frozen: `check --login` with a test account shows it.',
    }),
    vendorDown: ({ host, since, reason }: Of<'vendorDown'>, f: Format, now: number) => ({
      text: `The vendor (${host}) is down${since ? ` since ${f.since(since, now)}` : ''}${reason ? ` (${reason})` : ''}. The circuit breaker is open.`,
      next: 'Run `node dist/main.js check`. If all is ok, only the vendor’s login service is down: tell the vendor. The broker still serves known tokens. It tries again at the next login that is due, at most once in 5 s.',
    }),
    vendorFails: ({ host, since, reason, logins }: Of<'vendorFails'>, f: Format, now: number) => ({
      text: `The last login at the vendor (${host}) failed (${reason}). None has succeeded since ${f.since(since, now)}.${logins.failed > 0 ? ` In the last 10 minutes, ${f.number(logins.failed)} of ${f.number(logins.all)} logins of this replica failed.` : ''}`,
      next:
        reason === 'maintenance'
          ? 'Ask the vendor when its maintenance ends. The broker still serves known tokens, and tries again by itself.'
          : 'Run `node dist/main.js check`. If all is ok, only the vendor’s login service is down: tell the vendor. The broker still serves known tokens.',
    }),
    vendorBroken: ({ host, since, reason }: Of<'vendorBroken'>, f: Format, now: number) => ({
      text: `The vendor (${host}) has sent answers that are not valid since ${f.since(since, now)} (${reason}).`,
      next: 'Look for a proxy between the broker and the vendor. Then ask the vendor.',
    }),
    sessionServerFails: ({ since, reason }: Of<'sessionServerFails' | 'keysNotFetched'>, f: Format, now: number) => ({
      text: `The session server has failed since ${f.since(since, now)} (${reason}). New sessions cannot be checked.`,
      next: 'Restore the session server or its JWKS URL. Known sessions are still accepted for a while.',
    }),
    keysNotFetched: ({ since, reason }: Of<'sessionServerFails' | 'keysNotFetched'>, f: Format, now: number) => ({
      text: `Fetching the JWKS has failed since ${f.since(since, now)} (${reason}). Known keys are used for up to an hour.`,
      next: 'Restore the JWKS URL. Sessions that are signed with a new key cannot be checked.',
    }),
    sessionsRefused: ({ count, share }: Of<'sessionsRefused' | 'readsFail'>, f: Format) => ({
      text: `The broker refused ${f.percent(share)} of the sessions in the last 10 minutes (${f.number(count)}). Users may be locked out.`,
      next: 'Take a session of a new login and run `node dist/main.js check --session`.',
    }),
    readsFail: ({ count, share }: Of<'sessionsRefused' | 'readsFail'>, f: Format) => ({
      text: `${f.percent(share)} of the reads failed on the server’s side in the last 5 minutes (${f.number(count)}).`,
      next: 'Look at the codes under “Recent failures”.',
    }),
    internalErrors: ({ count }: Of<'internalErrors'>, f: Format) => ({
      text: `${f.number(count)} reads failed with an internal error in the last 5 minutes.`,
      next: 'Search the log of this replica for lines at `error`, and report them.',
    }),
    overdue: ({ seconds, count }: Of<'overdue'>, f: Format) => ({
      text: `${f.number(count)} tokens are overdue for renewal, the oldest by ${f.duration(seconds * 1000)}.`,
      next: 'See whether logins fail or the login budget is too small.',
    }),
    budgetSpent: ({ waiting }: Of<'budgetSpent'>, f: Format) => ({
      text: `The login budget is used up. ${f.number(waiting)} logins wait.`,
      next: 'If this lasts, raise VENDOR_MAX_RPS in agreement with the vendor.',
    }),
    clockOff: ({ host, seconds }: Of<'clockOff'>, f: Format) => ({
      text: `The clocks of this host and of ${host} differ by ${f.duration(seconds * 1000)}.`,
      next: 'Check NTP on this host. Logins are signed with the vendor’s time meanwhile.',
    }),
  },

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
    down: 'unreachable',
    open: 'circuit open',
    halfOpen: 'circuit half-open',
    unknown: 'not used yet',
  },
  clockOffset: (duration: string) => `clock differs by ${duration}`,
  vendorCode: (code: number) => `code ${code}`,

  due: 'What falls due',
  dueWhy: 'Over all replicas. A token is due for renewal some days before it ends.',
  dueUnknown: 'Unknown while Redis does not answer.',
  dueNow: 'now',
  dueHour: '1 h',
  dueDay: '24 h',
  dueWeek: '7 d',
  dueMonth: '30 d',
  total: 'all tokens',
  overdueFor: 'oldest overdue',
  next24: 'Next 24 hours, per hour',
  next30: 'Next 30 days, per day',
  now: 'now',
  hours: (count: number) => `+${count} h`,
  days: (count: number) => `+${count} d`,
  summaryDue: (label: string, total: string, peak: string) =>
    `${label}: ${total} tokens in all, ${peak} at most in one interval.`,

  lastHour: 'Last hour',
  replicaOnly: (replica: string) => `Counted by this replica (${replica}) alone, per minute.`,
  charts: { reads: 'Reads', renewals: 'Renewals', logins: 'Logins at the vendor', sessions: 'Session checks' },
  groups: {
    served: 'served',
    fallback: 'old token served',
    refused: 'refused',
    failed: 'failed',
    renewed: 'renewed',
    loggedIn: 'succeeded',
    accepted: 'accepted',
    unchecked: 'not checked',
  },
  hourAgo: '60 min ago',
  noEvents: 'nothing',
  atMost: (top: string) => `scale to ${top}`,

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

  account: 'Account',
  accountWhy: 'Each look-up leaves an audit line with the name of your token.',
  lookUpBy: 'Look up by',
  unionId: 'unionId',
  accessId: 'accessId',
  lookUp: 'Look up',
  lookupRequest:
    'To find out why one request failed, search the log for its requestId (docs/runbooks.md#a-user-cannot-log-in).',
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
  retype: (unionId: string) => `Type the unionId to confirm: ${unionId}`,
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
