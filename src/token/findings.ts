/** `critical`: apps get errors, or will soon. `warn`: look at it. `info`: know it. */
export const LEVELS = ['info', 'warn', 'critical'] as const;
export type Level = (typeof LEVELS)[number];

/** What `GET /status` finds wrong, the most urgent first. docs/runbooks.md has a section for each. */
export const FINDINGS = {
  redis_unreachable: 'critical',
  redis_refuses_writes: 'critical',
  vendor_rejects: 'critical',
  vendor_down: 'critical',
  accounts_closed: 'critical',
  session_check_fails: 'critical',
  sessions_refused: 'critical',
  vendor_fails_logins: 'critical',
  reads_fail: 'critical',
  tokens_ended: 'critical',
  redis_lost_data: 'warn',
  redis_went_back: 'warn',
  renewals_late: 'warn',
  renewals_end_tokens: 'warn',
  vendor_slow: 'warn',
  replica_missing: 'warn',
  configuration_differs: 'warn',
  clock_differs: 'warn',
  certificate_ends: 'warn',
} as const satisfies Readonly<Record<string, Level>>;

export type FindingCode = keyof typeof FINDINGS;

export const FINDING_CODES = Object.keys(FINDINGS) as [FindingCode, ...FindingCode[]];

/** The facts that a finding may have besides its code. None of them is personal. */
export interface FindingFacts {
  /** Number of events, accounts, tokens or replicas. */
  readonly count?: number | undefined;
  /** Of all events of their kind, from 0 to 1. */
  readonly share?: number | undefined;
  /** The share of the hour before, if it is known. */
  readonly usualShare?: number | undefined;
  /** The vendor's domain, or the server. */
  readonly host?: string | undefined;
  /** Why, in a word: the kind of failure, or the code of an error. Or the ids of keys, each with its replicas. */
  readonly reason?: string | undefined;
  /** The vendor's result code. */
  readonly vendorCode?: number | undefined;
  readonly seconds?: number | undefined;
  /** The replicas that it concerns. Missing: this one, all, or it is not known which. */
  readonly replicas?: readonly string[] | undefined;
  /** Whether each of the replicas has another version or configuration than those without the finding. */
  readonly onlyDifferent?: boolean | undefined;
}

export interface Finding extends FindingFacts {
  readonly code: FindingCode;
  /** One English sentence or two: what is wrong, and the first step. */
  readonly message: string;
  /** Epoch ms. */
  readonly since: number;
}

/** Fewer tokens than that end for a reason of their accounts. */
const MANY_ENDED = 5;
/** Tokens are renewed long before they end. */
const VERY_LATE_SECONDS = 600;

/** So much more than usual locks many users out. */
const MANY_REFUSED = 0.5;

export function levelOf({ code, count = 0, seconds = 0, share = 1, usualShare = 0 }: Finding): Level {
  if (code === 'tokens_ended' && count < MANY_ENDED) return 'warn';
  if (code === 'renewals_late' && seconds >= VERY_LATE_SECONDS) return 'critical';
  if (code === 'sessions_refused' && share - usualShare < MANY_REFUSED) return 'warn';
  return FINDINGS[code];
}

/** The address of a finding's section in the documents. */
export function runbookOf(code: FindingCode): string {
  return `docs/runbooks.md#${code}`;
}
