import { createBroker } from '../../src/broker/create-broker.ts';
import type { ReadRequest, RenewalRequest, Renewed } from '../../src/broker/requests.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { type Clock, systemClock } from '../../src/token/clock.ts';
import type { BrokerError } from '../../src/token/errors.ts';
import type { Log } from '../../src/token/log.ts';
import type { Observer } from '../../src/token/observer.ts';
import type {
  Announcement,
  AnnouncementFeed,
  StoreHealth,
  StoreHistory,
  TokenStore,
  VendorLogin,
} from '../../src/token/ports.ts';
import type { BelievedSessions } from '../../src/token/principal.ts';
import type { RefreshPolicy } from '../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { type Subject, type SubjectId, subjectId } from '../../src/token/subject.ts';
import { noTracer, type Tracer } from '../../src/token/tracer.ts';
import { captureLog } from './captured-log.ts';
import { takeLease } from './due-claims.ts';
import { watchedStore } from './failing-store.ts';
import { makeDue } from './make-due.ts';
import { recordingObserver } from './recording-observer.ts';
import { ScriptedLogin } from './scripted-login.ts';
import { accessTokenOf } from './served-token.ts';
import { silentObserver } from './silent-observer.ts';
import { virtualClock } from './virtual-clock.ts';

const silentLog = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export const PROACTIVE: RefreshPolicy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 };

/** The subject of most tests. */
export const PHONE: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
export const PHONE_ID = subjectId(PHONE);

/** The request of an app for the first token of the phone. */
export function renewalRequest(overrides: Partial<RenewalRequest> = {}): RenewalRequest {
  const { subject = PHONE, cause = 'new' } = overrides;
  return {
    id: subjectId(subject),
    subject,
    region: 'CN',
    known: undefined,
    cause,
    urgency: cause === 'background' ? cause : 'foreground',
    sessionIssuedAt: undefined,
    satisfies: () => true,
    ...overrides,
  };
}

/** The record of a login of another replica: sent at `generation`, read by an app, and valid for a minute. */
export function recordOfOther(generation: number, overrides: Partial<TokenRecord> = {}): TokenRecord {
  const others = { expireTime: '', terminalId: '', expand: '', expend: '' };
  const fields = { accessId: '1', accessToken: 'of another replica', ...others };
  const token = { fields, issuedAt: generation, expiresAt: generation + 60_000 };
  const flags = { read: true, unreadRenewals: 0, suspect: false };
  return { subject: PHONE, region: 'CN', token, generation, answeredAt: generation, ...flags, ...overrides };
}

/** Announcements that a replica never gets. */
export const SILENCE: AnnouncementFeed = { subscribe: () => undefined, completeSince: () => undefined };

/** The token of an answer, or the code of its error. */
export function tokenOrCode(reading: Promise<{ readonly body: string }>): Promise<string> {
  return reading.then(accessTokenOf, ({ code }: BrokerError) => code);
}

/** The result of a promise so far, or the error: `waits` until then. */
export function follow(promise: Promise<unknown>): { result: unknown } {
  const state: { result: unknown } = { result: 'waits' };
  const end = (result: unknown): void => {
    state.result = result;
  };
  promise.then(end, end);
  return state;
}

interface BrokerPartsOptions<Vendor extends VendorLogin> {
  readonly clock?: Clock;
  readonly store?: TokenStore;
  readonly policy?: RefreshPolicy;
  readonly loginBudgetMs?: number;
  /** Maximum logins and logouts of an account per hour, 20 at once. 0, the default, means no limit. */
  readonly perHour?: number;
  /** Default: a {@link ScriptedLogin}. */
  readonly vendor?: Vendor;
  readonly observer?: Observer;
  readonly tracer?: Tracer;
  readonly log?: Log;
  readonly sessions?: BelievedSessions;
}

/** Creates the broker and the worker of one replica, without HTTP. Default store: in memory. */
export function brokerParts<Vendor extends VendorLogin = ScriptedLogin>(options: BrokerPartsOptions<Vendor> = {}) {
  const { clock = systemClock, policy = PROACTIVE, loginBudgetMs = 5_000, perHour = 0 } = options;
  const { store = createMemoryStore({ clock, terminalsPerAccount: 20 }) } = options;
  // Without `vendor`, nothing can give the type parameter another type than its default.
  const vendor = options.vendor ?? (new ScriptedLogin(clock) as VendorLogin as Vendor);
  const { observer = silentObserver, log = silentLog, tracer = noTracer } = options;
  const { tokens: broker, ...parts } = createBroker({
    store,
    vendor,
    policy,
    clock,
    log,
    observer,
    tracer,
    loginBudgetMs,
    defaultRegion: undefined,
    cacheMaxBytes: 2 ** 20,
    sessions: options.sessions ?? { forget: () => undefined },
    loginsPerHour: perHour,
    loginBurst: 20,
  });
  /** Makes the token due now, and renews it without an app, whatever the policy says about its due time. */
  const renewInBackground = async (id: SubjectId): Promise<Renewed> => {
    await makeDue(store, id, clock.now());
    const { record } = await store.terminals.read(id);
    if (!record) throw new Error('there is no token to renew');
    return parts.renewal.renew({
      id,
      subject: record.subject,
      region: undefined,
      known: record,
      cause: 'background',
      urgency: 'background',
      sessionIssuedAt: undefined,
      satisfies: ({ generation, suspect }) => generation > record.generation && !suspect,
    });
  };
  return { ...parts, store, vendor, broker, renewInBackground };
}

interface VirtualReplicaOptions
  extends Omit<BrokerPartsOptions<ScriptedLogin>, 'clock' | 'store' | 'observer' | 'log'> {
  /** Its parts replace those of the store in memory. */
  readonly parts?: Partial<TokenStore>;
  readonly terminalsPerAccount?: number;
}

/** One replica in virtual time, with a watched store in memory that the test controls, its events and its log. */
export function virtualReplica({ parts: replaced, terminalsPerAccount = 20, ...options }: VirtualReplicaOptions = {}) {
  const { clock, storeClock, pass, jump } = virtualClock();
  const memory = createMemoryStore({ clock: storeClock, terminalsPerAccount });
  const hearers: ((announcement: Announcement) => void)[] = [];
  const announcements: AnnouncementFeed = {
    subscribe: (hear) => {
      hearers.push(hear);
      memory.announcements.subscribe(hear);
    },
    completeSince: () => memory.announcements.completeSince(),
  };
  const returns: ((history: StoreHistory) => void)[] = [];
  const health: StoreHealth = { ...memory.health, onReturn: (listener) => void returns.push(listener) };
  const watched = watchedStore({ ...memory, announcements, health, ...replaced });
  const { observer, told } = recordingObserver();
  const { logger: log, lines } = captureLog('debug');
  const parts = brokerParts({ ...options, clock, store: watched.store, observer, log });
  /** Starts a read of the phone, by a session of this moment. */
  const read = (overrides: Partial<ReadRequest> = {}) =>
    parts.broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now(), ...overrides });
  /** Reads the phone, and passes `ms`. @returns the token, or the code of the error */
  const answerAfter = async (ms: number, overrides: Partial<ReadRequest> = {}) => {
    const answer = tokenOrCode(read(overrides));
    await pass(ms);
    return answer;
  };
  /** Announces what the store does not. */
  const announce = (announcement: Announcement): void => {
    for (const hear of hearers) hear(announcement);
  };
  /** The store answers again. @param history whether it has lost data since its last answer */
  const storeReturns = (history: StoreHistory): void => {
    for (const listener of returns) listener(history);
  };
  const stored = async (id = PHONE_ID) => (await memory.terminals.read(id)).record;
  /** Takes the lease of the phone for another replica. */
  const holdLease = (durationMs: number, id = PHONE_ID) => takeLease(memory, id, durationMs);
  const controls = { clock, pass, jump, memory, watched, announce, storeReturns, holdLease };
  return { ...parts, ...controls, told, lines, read, answerAfter, stored };
}
