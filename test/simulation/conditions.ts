import { loginBudget } from '../../src/token/login-queue.ts';
import { LEASE_MS } from '../../src/token/renewal-timing.ts';
import type { LoginFact, ReadFact, RemovalFact } from './facts.ts';
import type { Fleet } from './fleet.ts';
import { LARGEST_JUMP_MS, type Scenario } from './scenario.ts';
import type { VirtualTime } from './virtual-time.ts';

/** How long after a fault its consequences are excused: leases, cool-downs and retries take that long to settle. */
export const SETTLE_MS = 20_000;
/**
 * Published bound: how long a logout or a newer token may be unknown to a replica that misses announcements unnoticed.
 */
const STALE_MS = 60_000;
/** The same for a replica that noticed the gap: it notices after 3 s, and an entry stays fresh for 2 s. */
const ANNOUNCED_MS = 6_000;
/**
 * In this time, replicas notice that the store went back in time, and repeat the logouts and erasures that they know.
 */
const HEAL_MS = 5_000;
/** A write that failed is repeated in this time, once the store answers. */
export const CONTACT_MS = 2_000;
/** A vendor with a clock of its own tells its time in whole seconds. */
const DATE_HEADER_MS = 1_000;
/** Times in whole ms. */
const ROUNDING_MS = 2;
/** Time for the events between two messages. */
const TURN_MS = 20;

/** What a replica can know and do at a moment, according to the faults of the world around it. */
export class Conditions {
  readonly #scenario: Scenario;
  readonly #time: VirtualTime;
  readonly #fleet: Fleet;
  /** When the last fault ended: of the network, a replica or the store; of the vendor; and of the store's data. */
  #faultUntil = Number.NEGATIVE_INFINITY;
  #vendorFaultUntil = Number.NEGATIVE_INFINITY;
  dataChangedAt = Number.NEGATIVE_INFINITY;
  /** By the name of the replica. A stall is no fault, so it is not here. */
  readonly #frozenUntil = new Map<string, number>();

  constructor(scenario: Scenario, time: VirtualTime, fleet: Fleet) {
    this.#scenario = scenario;
    this.#time = time;
    this.#fleet = fleet;
  }

  /** Notes a fault of the network, a replica or the store, which lasts `ms` from now. */
  fault(ms = 0): void {
    this.#faultUntil = Math.max(this.#faultUntil, this.#time.now + ms);
  }

  /** Notes that a replica stands still for `ms` from now, which may be longer than a lease. */
  freeze(name: string, ms: number): void {
    this.#frozenUntil.set(name, this.#time.now + ms);
    this.fault(ms);
  }

  vendorFault(ms = 0): void {
    this.#vendorFaultUntil = Math.max(this.#vendorFaultUntil, this.#time.now + ms);
  }

  /** Whether no fault of the network, a replica or the store ended within the last `ms`. */
  isQuiet(ms: number): boolean {
    return this.#time.now - this.#faultUntil > ms;
  }

  isVendorQuiet(ms: number): boolean {
    return this.#time.now - this.#vendorFaultUntil > ms;
  }

  /** Nothing is broken: no fault that failed reads or parallel logins may come from. */
  get isWell(): boolean {
    return this.isQuiet(SETTLE_MS) && this.isVendorQuiet(2 * SETTLE_MS);
  }

  /** How long messages may be under way that were sent before a replica learned of a change. */
  get underWayMs(): number {
    return 2 * this.#scenario.storeDelayMs[1] + TURN_MS;
  }

  /** Whether a replica may miss an announcement and not notice it. */
  get losesMessages(): boolean {
    const { lossRate, announcementLossRate } = this.#scenario;
    return lossRate > 0 || announcementLossRate > 0;
  }

  /** Largest difference between the clocks of two replicas. */
  get clockErrorMs(): number {
    const { skewMs, perMinute } = this.#scenario;
    return 2 * (skewMs + (perMinute.clockJump > 0 ? LARGEST_JUMP_MS : 0));
  }

  /** Largest error of the times of a token, which a replica computes with its own clock from the vendor's. */
  get tokenErrorMs(): number {
    return this.clockErrorMs + (this.#scenario.vendorOffsetMs > 0 ? DATE_HEADER_MS : ROUNDING_MS);
  }

  get loginBudgetMs(): number {
    return loginBudget(this.#scenario.vendorTimeoutMs);
  }

  /** Longest read: it tries to take the lease for two login budgets and a lease, and then logs in. */
  get longestReadMs(): number {
    return 3 * this.loginBudgetMs + LEASE_MS + 1_000;
  }

  isAlive(name: string): boolean {
    return this.#fleet.find(name)?.process.alive ?? false;
  }

  /** Whether the replica has run for `ms`, and the store has answered all its commands. */
  hasContact(name: string, ms = 0): boolean {
    const { connection } = this.#fleet.find(name) ?? {};
    const since = Math.max(this.#frozenUntil.get(name) ?? 0, connection?.answeredSince ?? Number.POSITIVE_INFINITY);
    return this.isAlive(name) && since <= this.#time.now - ms;
  }

  /** Whether the store has not answered the replica since `at`, so that it serves what it knows. */
  isUnanswered(name: string, at: number): boolean {
    const connection = this.#fleet.find(name)?.connection;
    return !connection || connection.answeredSince === Number.POSITIVE_INFINITY || connection.unansweredAt >= at;
  }

  /**
   * Until when a replica may be without a change that the store has executed and that it was not told of.
   * @param at when the change was answered
   */
  unknownUntil(at: number, name: string): number {
    const answeredSince = this.#fleet.find(name)?.connection.answeredSince ?? Number.POSITIVE_INFINITY;
    if (answeredSince === Number.POSITIVE_INFINITY || this.losesMessages) {
      return answeredSince === Number.POSITIVE_INFINITY ? answeredSince : at + STALE_MS;
    }
    return Math.min(Math.max(at, answeredSince) + ANNOUNCED_MS, at + STALE_MS);
  }

  /**
   * Whether the store refuses what the removal has ended. Not after it lost the removal, until a replica that was told
   * of it has had time to repeat it.
   */
  isInForce({ lost, heardAt }: RemovalFact): boolean {
    if (!lost) return true;
    if (lost.by === 'empty') return false;
    return [...heardAt].some(([name, at]) => at < lost.at && this.hasContact(name, HEAL_MS));
  }

  /** Whether a read may get the token although the removal has ended it. */
  mayServe(read: ReadFact, login: LoginFact, removal: RemovalFact): boolean {
    const { executedAt, answeredAt, hasSucceeded, lost } = removal;
    const { now } = this.#time;
    if (executedAt === undefined || login.receivedAt >= executedAt) return true;
    const heardAt = removal.heardAt.get(read.by);
    if (lost && (!this.isInForce(removal) || now <= lost.at + HEAL_MS)) return true;
    const wasRunning = login.deliveredAt === undefined || login.deliveredAt > executedAt;
    // The token of a login that was at the vendor goes nowhere: not even to the read that started it.
    if (wasRunning && heardAt !== undefined && !this.isUnanswered(read.by, heardAt)) {
      return now <= heardAt + this.underWayMs;
    }
    if (!hasSucceeded || answeredAt === undefined || read.beganAt < answeredAt) return true;
    if (heardAt !== undefined) return now <= heardAt + this.underWayMs;
    if (this.isUnanswered(read.by, read.beganAt)) return true;
    return read.beganAt <= this.unknownUntil(answeredAt, read.by);
  }
}
