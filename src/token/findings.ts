/**
 * What `GET /status` finds wrong, the most urgent first, with the heading of docs/runbooks.md that says what to do.
 * `bad`: apps get errors, or will soon. `warn`: look at it.
 */
export const FINDINGS = {
  redis_unreachable: { level: 'bad', runbook: 'SdkTokenBrokerRedisTrouble' },
  redis_refuses_writes: { level: 'bad', runbook: 'SdkTokenBrokerRedisRefusesWrites' },
  vendor_rejects: { level: 'bad', runbook: 'SdkTokenBrokerVendorRefusesLogins' },
  vendor_down: { level: 'bad', runbook: 'The vendor is down' },
  accounts_closed: { level: 'bad', runbook: 'SdkTokenBrokerAccountsClosed' },
  session_check_fails: { level: 'bad', runbook: 'SdkTokenBrokerSessionChecksUnavailable' },
  sessions_refused: { level: 'bad', runbook: 'SdkTokenBrokerSessionsRefused' },
  vendor_fails_logins: { level: 'bad', runbook: 'SdkTokenBrokerLoginsFail' },
  reads_fail: { level: 'bad', runbook: 'SdkTokenBrokerReadsFail' },
  tokens_ended: { level: 'bad', runbook: 'SdkTokenBrokerTokensExpiredUnrenewed' },
  redis_lost_data: { level: 'warn', runbook: 'SdkTokenBrokerRedisLostData' },
  redis_went_back: { level: 'warn', runbook: 'SdkTokenBrokerRedisLostData' },
  renewals_late: { level: 'warn', runbook: 'SdkTokenBrokerRenewalsOverdue' },
  vendor_slow: { level: 'warn', runbook: 'SdkTokenBrokerVendorSlow' },
  replica_missing: { level: 'warn', runbook: 'SdkTokenBrokerReplicaMissing' },
  configuration_differs: { level: 'warn', runbook: 'SdkTokenBrokerReplicasDiffer' },
  clock_differs: { level: 'warn', runbook: 'SdkTokenBrokerVendorClockOff' },
} as const satisfies Readonly<Record<string, { readonly level: 'bad' | 'warn'; readonly runbook: string }>>;

export type FindingCode = keyof typeof FINDINGS;

export const FINDING_CODES = Object.keys(FINDINGS) as [FindingCode, ...FindingCode[]];

/** The facts that a finding may have besides its code. None of them is personal. */
export interface FindingFacts {
  /** Number of events, accounts, tokens or replicas. */
  readonly count?: number | undefined;
  /** Of all events of their kind, from 0 to 1. */
  readonly share?: number | undefined;
  /** The vendor's domain. */
  readonly host?: string | undefined;
  /** Why, in a word: the kind of failure, or the code of an error. Or the ids of keys, each with its replicas. */
  readonly reason?: string | undefined;
  /** The vendor's result code. */
  readonly vendorCode?: number | undefined;
  readonly seconds?: number | undefined;
  /** The replicas that it concerns. Missing: this one, all, or it is not known which. */
  readonly replicas?: readonly string[] | undefined;
}

export interface Finding extends FindingFacts {
  readonly code: FindingCode;
  /** One English sentence or two: what is wrong, and the first step. */
  readonly message: string;
  /** Epoch ms. */
  readonly since: number;
}

/** The address of a finding's section in the documents. */
export function runbookOf(code: FindingCode): string {
  return `docs/runbooks.md#${FINDINGS[code].runbook.toLowerCase().replaceAll(' ', '-')}`;
}
