import type { Timer } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { SubjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import type { Renewal } from './renewal.ts';

/** Maximum number of concurrent renewals of one replica. */
const MAX_CONCURRENCY = 128;
/** Longest pause between two claims while tokens are saved, or while announcements may be missed. */
const BUSY_PAUSE_MS = 1_000;
/** Longest pause otherwise. Every saved token is announced and shortens it. */
const IDLE_PAUSE_MS = 5_000;
/** Pause after the login budget was used up, if the login queue does not say when to ask again. */
const BUDGET_PAUSE_MS = 500;

export interface RefreshWorkerOptions
  extends Pick<BrokerPorts, 'dueQueue' | 'announcements' | 'clock' | 'log' | 'observer'> {
  readonly renewal: Renewal;
}

/** Background job: claims due tokens from the queue that all replicas share, and renews them or lets them go. */
export function createRefreshWorker(options: RefreshWorkerOptions) {
  const { renewal, dueQueue, announcements, clock, log, observer } = options;
  const active = new Set<Promise<unknown>>();
  let isStopped = false;
  /** The last claim. */
  let claiming: Promise<void> | undefined;
  let timer: Timer | undefined;
  /** When the timer of the next claim ends, by the monotonic clock. `-Infinity`: none runs. */
  let nextClaimAt = Number.NEGATIVE_INFINITY;
  let pausedUntil = Number.NEGATIVE_INFINITY;
  /** Whether the last claim was skipped because too many renewals were running. */
  let isFull = false;
  /** The longest time that a token was due, among those whose renewal has begun since the last claim. */
  let longestLateMs = 0;
  announcements.subscribe(({ kind }) => {
    if (kind === 'saved') claimWithin(BUSY_PAUSE_MS);
  });
  return { start, stop };

  /** Does nothing after {@link stop}. */
  function start(): void {
    if (!isStopped) claiming ??= claimAndPause();
  }

  /** Stops claiming and waits for the running renewals. */
  async function stop(): Promise<void> {
    isStopped = true;
    timer?.cancel();
    nextClaimAt = Number.NEGATIVE_INFINITY;
    await claiming;
    await Promise.all(active);
  }

  async function claimAndPause(): Promise<void> {
    nextClaimAt = Number.NEGATIVE_INFINITY;
    const pauseMs = await claim();
    if (!isStopped) claimIn(pauseMs);
  }

  function claimIn(ms: number): void {
    timer?.cancel();
    nextClaimAt = clock.monotonic() + ms;
    timer = clock.setTimer(() => {
      claiming = claimAndPause();
    }, ms);
  }

  /** Ends the pause between two claims at most `ms` from now. */
  function claimWithin(ms: number): void {
    if (nextClaimAt > clock.monotonic() + ms) claimIn(ms);
  }

  /** Starts the renewals of due tokens. Returns the pause until the next claim in ms. */
  async function claim(): Promise<number> {
    const pauseMs = pausedUntil - clock.monotonic();
    if (pauseMs > 0) return pauseMs;
    const free = MAX_CONCURRENCY - active.size;
    // Claims of a few tokens at a time cost more than they bring. The worker waits until half of the capacity is free:
    // the renewal that frees it ends the pause.
    isFull = free < MAX_CONCURRENCY / 2;
    if (isFull) return BUSY_PAUSE_MS;
    const longestMs = announcements.completeSince() === undefined ? BUSY_PAUSE_MS : IDLE_PAUSE_MS;
    try {
      const { ids, nextInMs, backlog, overdueMs } = await dueQueue.claim(free);
      observer.backlogSeen(backlog);
      // A retry moves the due time in the queue, but not the one in the token.
      observer.overdueSeen(Math.max(overdueMs, longestLateMs));
      longestLateMs = 0;
      // While the worker stops, other replicas take what it has claimed.
      if (!isStopped) for (const id of ids) renew(id);
      return Math.min(longestMs, nextInMs ?? longestMs);
    } catch (error) {
      log.warn({ err: error }, 'the due queue could not be read');
      return BUSY_PAUSE_MS;
    }
  }

  function renew(id: SubjectId): void {
    const onDue = (latenessMs: number): void => {
      observer.renewalClaimed(latenessMs);
      longestLateMs = Math.max(longestLateMs, latenessMs);
    };
    const work = renewal
      .renewDue(id, onDue)
      .catch((error: unknown) => onFailure(id, error))
      .finally(() => {
        active.delete(work);
        if (isFull) claimWithin(0);
      });
    active.add(work);
  }

  function onFailure(id: SubjectId, error: unknown): void {
    if (error instanceof BrokerError && error.code === 'vendor_busy') {
      const pauseMs = Math.min(error.waitMs ?? BUDGET_PAUSE_MS, BUSY_PAUSE_MS);
      pausedUntil = clock.monotonic() + pauseMs;
      // The place then goes to the login that asks first.
      claimWithin(pauseMs);
      log.debug({ subject: id }, 'a renewal waits for the login budget');
    } else {
      log.warn({ subject: id, err: error }, 'a renewal failed');
    }
  }
}
