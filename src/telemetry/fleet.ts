import type { Clock, Timer } from '../token/clock.ts';
import { FINDING_CODES, type Finding, type FindingCode } from '../token/findings.ts';
import type { Log } from '../token/log.ts';
import type { LeftSummary, ReplicaSummaries, ScheduleOutlook } from '../token/ports.ts';
import {
  type FoundFacts,
  keptShare,
  type ReplicaFacts,
  SECOND_MS,
  type StandingShares,
  shareNames,
  sumOf,
  THRESHOLDS,
} from './finding-facts.ts';
import { asFinding } from './finding-sentences.ts';
import { inOrder, replicaFindings } from './findings.ts';
import { differenceOf, type FleetReplica, fleetFindings, kindOf } from './fleet-findings.ts';
import { findingsToLeave, readSummary, readUnsigned, type Summary } from './replica-summary.ts';

/** How often a replica leaves its summary. */
const SUMMARY_MS = 5_000;
/** How soon it tries again if the store has not taken it. */
const RETRY_MS = 1_000;
/** An older summary no longer tells what its replica finds. Its replica may be unable to leave another one. */
const STALE_MS = 2 * SUMMARY_MS;
/** Number of strangers that are shown: anyone who can write to Redis can store one. */
const MAX_STRANGERS = 10;
/** A state ends when nobody has seen it for so long. A replica that restarts is away for a moment. */
const FORGOTTEN_MS = 60_000;

/** A finding of a replica that comes back within this time had never left. */
const RETURN_MS = 60_000;

/** This replica, or another one by its last summary. A stranger has signed it with a key that this one lacks. */
type KnownReplica = Summary & FleetReplica & { readonly isStale: boolean; readonly isStranger: boolean };

export interface FleetOptions {
  readonly clock: Clock;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly summaries: ReplicaSummaries;
  readonly replica: string;
  readonly version: string;
  /** The digest of the present configuration. */
  readonly configuration: () => string;
  readonly keyRing: () => FleetReplica['keyRing'];
  readonly facts: () => ReplicaFacts;
}

/** Collects the findings of all replicas. Each leaves a summary in the store every 5 s, and deletes it at shutdown. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #startedAt: number;
  #configuration: { readonly digest: string; readonly since: number };
  /** The findings of this replica, those of the fleet, and those that only the summaries of all replicas show. */
  readonly #own = new KnownFindings(RETURN_MS);
  readonly #all = new KnownFindings(0);
  readonly #ofFleet = new KnownFindings(0);
  readonly #ownShares: StandingShares = new Map();
  readonly #allShares: StandingShares = new Map();
  /** By the monotonic clock. */
  #reportedAt = 0;
  /** How configurations differ, and since when (epoch ms); when last seen (monotonic), and of which replicas. */
  #difference:
    | {
        readonly since: number;
        readonly groups: readonly string[];
        readonly seenAt: number;
        readonly names: readonly string[];
      }
    | undefined;
  /** The last answer of the store, and its time by the monotonic clock. */
  #heard:
    | {
        readonly others: readonly LeftSummary[];
        readonly schedule: ScheduleOutlook | undefined;
        readonly at: number;
      }
    | undefined;
  #timer: Timer | undefined;
  /** Since when the store has taken every summary, by the monotonic clock. */
  #leavingSince: number | undefined;
  #isStopped = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#configuration = { digest: options.configuration(), since: this.#startedAt };
  }

  /** Does nothing after {@link stop}. */
  start(): void {
    if (!this.#isStopped) void this.#leave();
  }

  /** Deletes the summary of this replica, and those that killed processes of its name have left. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    const { summaries, replica } = this.#options;
    const others = await summaries.others().catch(() => []);
    const replaced = others.filter((left) => left.ageMs > STALE_MS && readSummary(left)?.replica === replica);
    await summaries.end(replaced.map(({ id }) => id)).catch(() => undefined);
  }

  /** @param answered what {@link ReplicaSummaries.others} answered; `undefined`, as of the outlook: no answer */
  report(answered: readonly LeftSummary[] | undefined, outlook: ScheduleOutlook | undefined) {
    const facts = this.#options.facts();
    const own = this.#look(facts);
    const { others, schedule } = this.#hear(answered, outlook, own);
    const replicas = this.#replicas(others, this.#summary(facts, own), facts.now);
    const alive = replicas.filter(({ missingSince, isStranger }) => missingSince === undefined && !isStranger);
    const fresh = alive.filter(({ isStale }) => !isStale);
    const { endedTokens, endedByRenewals } = sumOf(alive.map((one) => one.counts));
    const counts = {
      ...sumOf(fresh.map((one) => one.counts)),
      failedAccounts: Math.max(...fresh.map((one) => one.counts.failedAccounts)),
      endedTokens,
      endedByRenewals,
    };
    const sums = { ...facts, counts, lately: sumOf(fresh.map((one) => one.lately)) };
    // No one has looked for this long.
    if (facts.monotonic - this.#reportedAt >= FORGOTTEN_MS) this.#allShares.clear();
    this.#reportedAt = facts.monotonic;
    const since = answered ? this.#lookAtFleet(replicas, facts) : this.#differentSince(replicas);
    const found = [...replicaFindings(sums, this.#allShares), ...fleetFindings(replicas, schedule, facts.now, since)];
    const all = new Map(foundBy(fresh, fresh.length < alive.length).map((one) => [idOf(one), one]));
    // A share is of all replicas. A finding of some of them has their names, unless the others see a little of it.
    for (const one of found) {
      const { since = Number.POSITIVE_INFINITY, ...known } = all.get(idOf(one)) ?? {};
      all.set(idOf(one), { ...known, ...one, ...(one.since && { since: Math.min(since, one.since) }) });
    }
    const named = [...all.values()].map((one) => withoutOthers(one, fresh));
    this.#all.note(named, facts);
    return {
      findings: inOrder([...this.#all.shown.values()]),
      replicas: replicas.map(replicaState),
      tokensEnded: counts.endedTokens,
    };
  }

  /** The same as {@link #look} for missing and different replicas. */
  #lookAtFleet(replicas: readonly KnownReplica[], at: Instant): number | undefined {
    const since = this.#differentSince(replicas);
    this.#note(fleetFindings(replicas, undefined, at.now, since), this.#ofFleet, at);
    return since;
  }

  /** A replica that starts again and again does not begin the difference anew. Another difference does. */
  #differentSince(replicas: readonly KnownReplica[]): number | undefined {
    const alive = replicas.filter(({ missingSince }) => missingSince === undefined);
    const names = alive.map(({ replica }) => replica);
    const before = this.#difference;
    const now = differenceOf(alive);
    if (!now) {
      // Otherwise, one of them may be away for a moment.
      if (before?.names.every((name) => names.includes(name))) this.#difference = undefined;
      return undefined;
    }
    const seenAt = this.#options.clock.monotonic();
    const isSame =
      before !== undefined &&
      seenAt - before.seenAt < FORGOTTEN_MS &&
      before.groups.filter((group) => now.groups.includes(group)).length > 1;
    const since = isSame ? Math.min(now.since, before.since) : now.since;
    this.#difference = { since, groups: now.groups, seenAt, names };
    return since;
  }

  /** Returns the answer of the store, or its last one while it may only be slow: a slow answer ends no finding. */
  #hear(others: readonly LeftSummary[] | undefined, schedule: ScheduleOutlook | undefined, own: readonly Finding[]) {
    const now = this.#options.clock.monotonic();
    if (others) this.#heard = { others, schedule, at: now };
    const heard = this.#heard;
    const isDown = own.some(({ code }) => code === 'redis_unreachable');
    if (others || isDown || !heard || now - heard.at >= THRESHOLDS.silentMs) return { others: others ?? [], schedule };
    const older = heard.others.map((one) => ({ ...one, ageMs: one.ageMs + now - heard.at }));
    return { others: older, schedule: heard.schedule };
  }

  async #leave(): Promise<void> {
    const { clock, summaries } = this.#options;
    const facts = this.#options.facts();
    const text = JSON.stringify(this.#summary(facts, this.#look(facts)));
    const isLeft = await summaries.leave(text).then(
      () => true,
      () => false,
    );
    this.#leavingSince = isLeft ? (this.#leavingSince ?? clock.monotonic()) : undefined;
    if (this.#isStopped) return;
    this.#timer = clock.setTimer(() => void this.#leave(), isLeft ? SUMMARY_MS : RETRY_MS);
  }

  #summary({ clockOffsetMs, counts, lately, now }: ReplicaFacts, own: readonly Finding[]): Summary {
    const { replica, version, configuration, keyRing } = this.#options;
    const digest = configuration();
    if (digest !== this.#configuration.digest) this.#configuration = { digest, since: now };
    return {
      replica,
      version,
      configuration: digest,
      keyRing: keyRing(),
      startedAt: this.#startedAt,
      configuredAt: this.#configuration.since,
      clockOffsetMs,
      findings: findingsToLeave(own),
      counts,
      lately,
    };
  }

  /** The findings of this replica. */
  #look(facts: ReplicaFacts): readonly Finding[] {
    // A share without a failure lately begins anew with the next failure.
    const found = replicaFindings(facts, this.#ownShares).map((one): FoundFacts => {
      return isOver(one, facts) ? { ...one, since: facts.now } : one;
    });
    this.#note(found, this.#own, facts);
    return [...this.#own.shown.values()];
  }

  /** The log has a line when a finding begins, and one when it is over. */
  #note(found: readonly FoundFacts[], known: KnownFindings, at: Instant): void {
    const { log } = this.#options;
    const before = known.shown;
    known.note(found, at);
    const after = known.shown;
    for (const [id, { message, code, since: _, ...fields }] of after) {
      if (!before.has(id)) log.warn({ finding: code, ...fields }, message);
    }
    for (const [id, { code, since }] of before) {
      if (after.has(id)) continue;
      log.info({ finding: code, seconds: Math.round((at.now - since) / SECOND_MS) }, 'a finding is over');
    }
  }

  /** This replica, and the others by name: those that are alive, and those that ended without a shutdown. */
  #replicas(others: readonly LeftSummary[], self: Summary, now: number): KnownReplica[] {
    // After an outage of the store, each summary is old until its replica leaves the next one.
    const leavingMs = this.#options.clock.monotonic() - (this.#leavingSince ?? Number.POSITIVE_INFINITY);
    const signed = others.filter(({ ageMs, isSigned }) => isSigned && ageMs < THRESHOLDS.missingMs);
    const known = signed.flatMap((left) => {
      const read = readSummary(left);
      const isSilent = Math.min(left.ageMs, leavingMs) >= THRESHOLDS.silentMs;
      const missingSince = isSilent ? now - left.ageMs : undefined;
      return read ? [{ ...read, isStranger: false, missingSince, isStale: left.ageMs > STALE_MS }] : [];
    });
    const unsigned = others.filter(({ ageMs, isSigned }) => !isSigned && ageMs < THRESHOLDS.silentMs);
    const strangers = unsigned.flatMap((left) => readUnsigned(left, self, now) ?? []).slice(0, MAX_STRANGERS);
    // In the time of Redis: the clocks of two hosts may differ.
    const atRedis = (at: number, { clockOffsetMs = 0 }: Summary) => at - clockOffsetMs;
    const isReplaced = ({ replica, missingSince = Number.POSITIVE_INFINITY }: KnownReplica) =>
      [self, ...known].some(
        (other) => other.replica === replica && atRedis(other.startedAt, other) > atRedis(missingSince, self),
      );
    const alive = { missingSince: undefined, isStranger: false, isStale: false };
    const byName = [
      ...known.filter((one) => !isReplaced(one)),
      ...strangers.map((one) => ({ ...one, ...alive, isStranger: true, isStale: true })),
    ].sort((one, other) => (one.replica < other.replica ? -1 : 1));
    return [{ ...self, ...alive }, ...byName];
  }
}

/** A replica as `GET /status` shows it. */
function replicaState(state: KnownReplica) {
  const { replica, version, configuration, startedAt, clockOffsetMs, missingSince, findings } = state;
  return {
    replica,
    version,
    startedAt: new Date(startedAt).toISOString(),
    findings: state.isStale ? null : FINDING_CODES.filter((code) => findings.some((one) => one.code === code)),
    clockOffsetSeconds: clockOffsetMs === undefined ? null : clockOffsetMs / SECOND_MS,
    configuration,
    missingSince: missingSince === undefined ? null : new Date(missingSince).toISOString(),
  };
}

/**
 * Returns the findings of the replicas, with the facts of the one that saw most, and the names of those that see it. It
 * names nobody if all see it, or if the findings of some are not known. A replica with a fault of Redis can seldom tell
 * the others.
 * @param replicas this one first: its clock gives the times. They move in whole seconds, because offsets vary
 */
function foundBy(replicas: readonly Summary[], someUnknown: boolean): FoundFacts[] {
  const byId = new Map<string, { readonly replica: string; readonly finding: Summary['findings'][number] }[]>();
  for (const one of replicas) {
    const { clockOffsetMs: ownMs = 0 } = replicas[0] ?? {};
    const aheadMs = Math.round(((one.clockOffsetMs ?? ownMs) - ownMs) / SECOND_MS) * SECOND_MS;
    for (const finding of one.findings.filter((found) => !isOver(found, one))) {
      const ours = { ...finding, since: finding.since - aheadMs };
      byId.set(idOf(finding), [...(byId.get(idOf(finding)) ?? []), { replica: one.replica, finding: ours }]);
    }
  }
  return [...byId.values()].map((by) => {
    const since = Math.min(...by.map(({ finding }) => finding.since));
    const [most] = by.map(({ finding }) => finding).sort((one, other) => (other.count ?? 0) - (one.count ?? 0));
    const names = [...new Set(by.map(({ replica }) => replica))];
    const isNamed = by.length < replicas.length && !someUnknown && !most?.code.startsWith('redis_');
    const theirs = new Set(replicas.flatMap((one) => (names.includes(one.replica) ? kindOf(one) : [])));
    const isShared = replicas.some((one) => !names.includes(one.replica) && theirs.has(kindOf(one)));
    return {
      ...(most as FoundFacts),
      since,
      ...(isNamed && { replicas: names, onlyDifferent: !isShared || undefined }),
    };
  });
}

/** Whether nothing has failed lately. A replica with few events still has the finding. */
function isOver({ code, count }: FoundFacts, { lately }: Pick<Summary, 'lately'>): boolean {
  const names = code === 'accounts_closed' || count === undefined ? [] : shareNames(code);
  return names.length > 0 && names.every((name) => lately[name] === 0);
}

/** Whether the replica has so few of these failures that it has no part in the finding. */
function isFree({ counts, lately }: Summary, code: FindingCode): boolean {
  return shareNames(code).every((name) => {
    const { of, share } = THRESHOLDS.shares[name];
    return [counts, lately].every((events) => events[name] <= keptShare(share) * events[of]);
  });
}

/** Names the replicas with the finding only if the others are clearly better: a fault of all begins somewhere. */
function withoutOthers(
  { replicas: names, onlyDifferent, ...finding }: FoundFacts,
  all: readonly Summary[],
): FoundFacts {
  const isTheirs = names && all.every((other) => names.includes(other.replica) || isFree(other, finding.code));
  return { ...finding, ...(isTheirs && { replicas: names, onlyDifferent }) };
}

/** Each host of the vendor has a finding of its own. */
function idOf({ code, host = '' }: FoundFacts): string {
  return `${code} ${host}`;
}

/** After an outage, logins that still fail are no new fault: they have failed since it began. */
const CONTINUED: Partial<Readonly<Record<FindingCode, FindingCode>>> = { vendor_fails_logins: 'vendor_down' };

type Instant = Pick<ReplicaFacts, 'now' | 'monotonic'>;

interface KnownFinding {
  readonly finding: Finding;
  /** By the monotonic clock. */
  readonly seenAt: number;
  readonly isAway: boolean;
  readonly hasReturned: boolean;
}

/** The findings by {@link idOf}, each with the time at which it was first seen. */
class KnownFindings {
  readonly #known = new Map<string, KnownFinding>();
  readonly #returnMs: number;
  shown: ReadonlyMap<string, Finding> = new Map();

  /** @param returnMs a finding that comes back within this time is then shown until it has been away for so long */
  constructor(returnMs: number) {
    this.#returnMs = returnMs;
  }

  note(found: readonly FoundFacts[], { now, monotonic }: Instant): void {
    const before = new Map(this.#known);
    for (const [id, known] of before) {
      if (monotonic - known.seenAt < this.#returnMs) this.#known.set(id, { ...known, isAway: true });
      else this.#known.delete(id);
    }
    for (const facts of found) {
      const id = idOf(facts);
      const last = before.get(id);
      const known = last?.isAway && !this.#known.has(id) ? undefined : last;
      const hasReturned = known !== undefined && (known.hasReturned || known.isAway);
      const continued = [...before.values()].find(({ finding }) => finding.code === CONTINUED[facts.code]);
      const since = (known ?? continued)?.finding.since ?? now;
      const finding = asFinding(hasReturned ? { ...facts, since } : facts, since);
      this.#known.set(id, { finding, seenAt: monotonic, isAway: false, hasReturned });
    }
    const shown = [...this.#known].filter(([, { isAway, hasReturned }]) => !isAway || hasReturned);
    this.shown = new Map(shown.map(([id, { finding }]) => [id, finding]));
  }
}
