import { BrokerError } from '../token/errors.ts';
import type { KnownAccount } from '../token/ports.ts';
import { accountId, type Subject, subjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import { type GrantedLease, LeasedLogins, type LeasedLoginsOptions, type LoginRequest } from './leased-logins.ts';
import { REGION_NEEDED } from './login.ts';

/**
 * No phone's terminal, the same at each login of an account, and different for each account: the vendor may end the
 * former token of a terminal at its next login, and may take two accounts with one uniqueId for one phone.
 */
export function accessIdTerminal(unionId: string): string {
  return `access-id.${accountId(unionId)}`;
}

export type AccessIdsOptions = LeasedLoginsOptions & Pick<BrokerPorts, 'accounts' | 'vendor' | 'defaultRegion'>;

interface AccessIdRequest extends LoginRequest {
  readonly subject: Subject;
}

/** The knowledge at the time of a caller's question. */
interface Asked {
  /** Epoch ms of the account's last erasure; 0 for none. */
  readonly erasedBefore: number;
  /** Epoch ms by the clock of the store; 0 if it is not known. */
  readonly at: number;
}

/** Of this replica's idea of the clock of the store. */
const CLOCK_ERROR_MS = 1_000;

export type AccessIds = ReturnType<typeof createAccessIds>;

/**
 * Obtains the accessId of an account that has never logged in, by a login whose token is dropped: it takes no
 * terminal's place and is not renewed. Over all replicas, at most one such login per subject runs at a time.
 */
export function createAccessIds(options: AccessIdsOptions) {
  const { accounts, cache, defaultRegion, terminals, vendor, limits } = options;
  const logins = new LeasedLogins<KnownAccount>(options);
  return { obtain, settle: (timeoutMs: number) => logins.settle(timeoutMs) };

  /**
   * Returns the accessId of an account, which the store keeps from then on. If the store has one by the time the lease
   * is granted, there is no login. The login continues when the caller disconnects, because other callers may wait for
   * it.
   * @param subject the account with its {@link accessIdTerminal}; with policy `single`, the account's only terminal, so
   *   that the login and those of its phone run one after the other
   * @param requestedRegion used for an account without a pinned country
   * @throws BrokerError `request_invalid` when the country is unknown; `not_found` when the account was erased during
   *   the login; `rate_limited`; or the error of the vendor or the store
   */
  function obtain(subject: Subject, requestedRegion: string | undefined): Promise<KnownAccount> {
    const id = subjectId(subject);
    const region = requestedRegion ?? defaultRegion;
    // An accessId belongs to the account: a logout of the terminal does not end its login.
    const request = { id, subject, region, cause: 'new', urgency: 'foreground', outlivesLogout: true } as const;
    const asked = { erasedBefore: cache.erasedAt(id) ?? 0, at: terminals.clockFor(id) ?? 0 };
    return logins.joinOrBegin(
      request,
      (known) => known,
      () =>
        logins.logIn(request, {
          underLease: (granted) => logins.holding(request, granted, () => identifyOrLogIn(request, granted, asked)),
          withoutLease: (storeError) => Promise.reject(storeError),
          stored: () => accounts.identify(subject.unionId),
        }),
    );
  }

  async function identifyOrLogIn(request: AccessIdRequest, granted: GrantedLease, asked: Asked): Promise<KnownAccount> {
    const { loginBudgetMs: budgetMs } = options;
    const { id, subject, urgency } = request;
    const { lease, storeTimeout } = granted;
    const { unionId } = subject;
    // Another login may have ended since the caller looked.
    const known = await accounts.identify(unionId);
    if (known) {
      await logins.release(granted);
      return known;
    }
    const erasedAt = cache.erasedAt(id) ?? 0;
    // A read may have told this replica of an older one.
    const isLater = erasedAt !== asked.erasedBefore && erasedAt > asked.at - CLOCK_ERROR_MS;
    if (isLater || lease.generation <= erasedAt) throw erasedMeanwhile();
    const region = granted.region ?? request.region;
    if (!region) throw new BrokerError('request_invalid', { detail: REGION_NEEDED });
    await limits.admit(id, 'new', storeTimeout);
    // After an erasure, it is not sent. With the next lease, the erasure is known.
    const mayBeSent = () => logins.isHeld(lease) && lease.generation > (cache.erasedAt(id) ?? 0);
    const { fields } = await vendor.login({ subject, region, budgetMs, urgency, mayBeSent });
    await terminals.saveAccessId(lease, { unionId, accessId: fields['accessId'] ?? '', region });
    const stored = await accounts.identify(unionId);
    if (stored) return stored;
    throw erasedMeanwhile();
  }
}

function erasedMeanwhile(): BrokerError {
  return new BrokerError('not_found', { detail: 'The account was erased while its accessId was being obtained' });
}
