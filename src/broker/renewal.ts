import type { RenewalCause } from '../token/observer.ts';
import { dueOnceRead, isRenewedInBackground } from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import type { SubjectId } from '../token/subject.ts';
import { LeasedLogins } from './leased-logins.ts';
import { loginSteps, type TokenLoginOptions } from './login.ts';
import { type RenewalRequest, type Renewed, refuseEnded } from './requests.ts';

/** How long a due token waits while a newer one, or its logout, is on its way to the store. */
const OVERTAKEN_PAUSE_MS = 1_000;
/** How long a due record waits that does not open. A replica with other keys may renew it sooner. */
const UNREADABLE_PAUSE_MS = 3_600_000;

export type Renewal = ReturnType<typeof createRenewal>;

/**
 * Renews tokens. One process runs at most one renewal per subject; leases extend this to all replicas.
 *
 *     wait for the running renewals of the subject; return the first token that will do
 *     until the deadline: ask the store for the lease
 *       granted:        if the stored token will do, release the lease and return the token
 *                       log in, and save the token with the generation of the lease
 *                       saved: return it; logged out or erased: fail; lease lost: ask again
 *       no answer:      log in without a lease; the write-back stores the token
 *       held:           wait for the announcement of the holder, and read the store
 *                       the token will do: return it; its login failed: fail too; otherwise: ask again
 *       cooling, limit: fail
 *
 * A due token is renewed in the background by one such attempt, if it is still due.
 */
export function createRenewal(options: TokenLoginOptions) {
  const { observer, clock, policy, cache, writeBack, tracer } = options;
  const logins = new LeasedLogins<Renewed>(options);
  const stepsOf = loginSteps(options, logins);
  return { renew, renewDue, settle: (timeoutMs: number) => logins.settle(timeoutMs) };

  /**
   * Returns a record that satisfies the request. Over all replicas, at most one login per subject runs at a time. The
   * login continues when its caller disconnects, because other callers may wait for it.
   * @throws BrokerError `request_invalid` when the country is unknown; `rate_limited`; `terminal_limit`;
   *   `session_forbidden` when the terminal was logged out during the login, on any replica; `session_invalid` when the
   *   account was erased after the session was issued; or the error of the vendor or the store
   */
  function renew(request: RenewalRequest): Promise<Renewed> {
    const accept = (renewed: Renewed): Renewed | undefined =>
      request.satisfies(renewed.record) ? { ...renewed, outcome: 'waited' } : undefined;
    return tracer.span('renewal', () =>
      logins.joinOrBegin(request, accept, () => observed(request.cause, logIn(request))),
    );
  }

  async function logIn(request: RenewalRequest): Promise<Renewed> {
    // The account may have been erased while the request waited for another login. It must not ask for a lease: that
    // would delay the renewal of the token that came after the erasure.
    if (request.cause !== 'background') refuseEnded(request, cache.sessionsEndedAt(request.id));
    return logins.logIn(request, stepsOf(request));
  }

  /**
   * Renews a due subject's token, if it is still due and no other login of it runs. Its reads wait for it.
   * @param onDue is told how long the token has been due, before the login
   * @returns `undefined` if there was nothing to renew
   * @throws BrokerError the error of the vendor or the store
   */
  async function renewDue(id: SubjectId, onDue: (latenessMs: number) => void): Promise<Renewed | undefined> {
    if (logins.isRunning(id)) return undefined;
    return tracer.trace('renewal', () => {
      const renewing = observed('background', renewIfDue(id, onDue));
      return logins.begin({ id, cause: 'background', urgency: 'background' }, renewing);
    });
  }

  function observed<Result extends Renewed | undefined>(cause: RenewalCause, result: Promise<Result>): Promise<Result> {
    result.then(
      (renewed) => renewed && observer.renewalEnded(cause, renewed.outcome),
      (error: unknown) => observer.renewalFailed(cause, error),
    );
    return result;
  }

  async function renewIfDue(id: SubjectId, onDue: (latenessMs: number) => void): Promise<Renewed | undefined> {
    const answer = await logins.acquire(id);
    if (answer.kind === 'unavailable') throw answer.error;
    if (answer.kind !== 'granted') return undefined;
    const { current } = answer;
    const nextLookAt = lookAgainAt(id, current);
    if (!current || nextLookAt !== undefined) {
      await logins.release(answer, nextLookAt);
      return undefined;
    }
    onDue(clock.now() - dueOnceRead(current, policy, id));
    const request = {
      id,
      subject: current.subject,
      region: undefined,
      known: current,
      cause: 'background',
      urgency: 'background',
      sessionIssuedAt: undefined,
      satisfies: (other) => other.generation > current.generation && !other.suspect,
    } satisfies RenewalRequest;
    return stepsOf(request).underLease(answer);
  }

  /** When the worker looks at a record again, as epoch ms; `undefined` if it renews it now. */
  function lookAgainAt(id: SubjectId, record: TokenRecord | undefined): number | undefined {
    const now = clock.now();
    if (!record) return now + UNREADABLE_PAUSE_MS;
    const due = dueOnceRead(record, policy, id);
    if (now < due) return due;
    if (!isRenewedInBackground(record, policy)) return record.token.expiresAt;
    const { generation } = record;
    const inMemory = cache.tokens.peek(id)?.generation ?? 0;
    const isOvertaken = writeBack.hasRecordOf(id) || Math.max(inMemory, cache.outdatedUntil(id)) > generation;
    // The store has lost a later token. Another replica may have it in memory.
    const mayBeOvertaken = cache.newestKnown(id) > generation && writeBack.mayBeRestored();
    return isOvertaken || mayBeOvertaken ? now + OVERTAKEN_PAUSE_MS : undefined;
  }
}
