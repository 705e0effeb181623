import { ERRORS } from '../../src/token/errors.ts';
import { isLoginBudgetUsedUp } from './excuses.ts';
import { BOUND_MS, type Facts, ON_ITS_WAY_MS } from './facts.ts';
import { type BrokenRule, outcomeOf, placeOf } from './finding.ts';
import type { Exchange } from './history.ts';
import { isFromBeforeErasure, lastEffectOf } from './removal-rules.ts';

const QUIET_READ_MS = 5_000;
const LONGEST_READ_MS = 25_000;
/** Faults of a replica that end or delay its answers. */
const INTERRUPTS: ReadonlySet<string> = new Set(['kill', 'terminate', 'freeze', 'clock']);

export function* servesWhileQuiet(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    if (!facts.isQuiet(read.sentAt, read.endedAt)) continue;
    const durationMs = read.endedAt - read.sentAt;
    const since = read.sentAt - 5_000;
    if (durationMs > QUIET_READ_MS) yield { ...placeOf(read), since, what: `it took ${durationMs.toFixed(0)} ms` };
    if (read.status === 200 || isEndedByRemoval(facts, read, ON_ITS_WAY_MS)) continue;
    if (read.code === 'session_invalid' && isFromBeforeErasure(facts, read)) continue;
    if (read.code === 'vendor_busy' && isLoginBudgetUsedUp(facts, read)) continue;
    yield { ...placeOf(read), since, what: outcomeOf(read) };
  }
  for (const read of facts.reads()) {
    if (read.code !== 'session_forbidden' || isEndedByRemoval(facts, read, BOUND_MS)) continue;
    if (facts.isQuiet(read.sentAt, read.endedAt)) continue;
    yield { ...placeOf(read), since: read.sentAt - 15_000, what: 'session_forbidden without a logout' };
  }
}

/**
 * A logout ends each login of the terminal that has begun, and the reads that wait for it.
 * @param boundMs how long after the logout a replica may not have heard of it
 */
function isEndedByRemoval(facts: Facts, read: Exchange, boundMs: number): boolean {
  if (read.code !== 'session_forbidden') return false;
  return facts.actsOf(read).some((removal) => {
    const isOfTerminal =
      removal.kind === 'erasure' || (removal.kind === 'logout' && removal.uniqueId === read.uniqueId);
    return isOfTerminal && removal.sentAt <= read.endedAt && lastEffectOf(removal) + boundMs >= read.sentAt;
  });
}

export function* endsReads(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    const durationMs = read.endedAt - read.sentAt;
    const isLost = read.status === 0;
    if (!isLost && durationMs <= LONGEST_READ_MS) continue;
    const faults = facts.faultsBetween(read.sentAt, read.endedAt).filter(({ replica }) => replica === read.replica);
    if (faults.some(({ kind }) => INTERRUPTS.has(kind))) continue;
    const what = isLost ? 'the connection gave no answer' : `it took ${durationMs.toFixed(0)} ms`;
    yield { ...placeOf(read), since: read.sentAt - 5_000, what };
  }
}

export function* sendsKnownCodes(facts: Facts): Generator<BrokenRule> {
  for (const exchange of facts.exchanges) {
    const { status, code = '', kind } = exchange;
    if (status < 400) continue;
    const isKnown = Object.hasOwn(ERRORS, code) && code !== 'internal' && (code !== 'not_found' || kind === 'account');
    if (!isKnown) yield { ...placeOf(exchange), since: exchange.sentAt - 5_000, what: outcomeOf(exchange) };
  }
}
