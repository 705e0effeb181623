import * as z from 'zod';
import { FINDINGS, type Finding, type FindingCode } from '../token/findings.ts';
import type { LeftSummary } from '../token/ports.ts';
import { MAX_COUNT, NO_COUNTS, NO_SHARES } from './finding-facts.ts';
import { type KeyHolder, lacksKeyOf } from './fleet-findings.ts';

/** Number of findings in a summary: a domain may have two. The store reads no long summary. */
const MAX_FINDINGS = 12;

// Without encryption keys, anyone who can write to Redis can store any number. A time that no date can hold makes the
// summary invalid. A count that is too large is 0.
const count = z.int().min(0).max(MAX_COUNT).catch(0);
const instant = z.number().min(0).max(8e15);
const word = z.string().transform((text) => text.slice(0, 64));

/** A finding without its sentence and the replicas. A later version may have other codes. */
const leftFinding = z.object({
  code: word,
  since: instant,
  count: z.int().min(0).max(MAX_COUNT).optional().catch(undefined),
  share: z.number().min(0).max(1).optional().catch(undefined),
  usualShare: z.number().min(0).max(1).optional().catch(undefined),
  host: word.optional().catch(undefined),
  reason: word.optional().catch(undefined),
  vendorCode: z.int().optional().catch(undefined),
  seconds: z.number().min(-1e9).max(1e9).optional().catch(undefined),
});

/** The summary that a replica leaves for the others. A later version may add to it. */
const summary = z.object({
  replica: word,
  version: word,
  configuration: word,
  keyRing: z
    .object({ id: word, digests: z.array(word).max(100).readonly() })
    .optional()
    .catch(undefined),
  startedAt: instant,
  configuredAt: instant,
  clockOffsetMs: z.number().min(-1e14).max(1e14).optional(),
  findings: z.array(leftFinding).transform((left) => left.slice(0, MAX_FINDINGS).filter(isKnown)),
  counts: countsLike(NO_COUNTS),
  lately: countsLike(NO_SHARES),
});

export type Summary = z.infer<typeof summary>;

function countsLike<Counts extends object>(none: Counts) {
  const names = Object.keys(none) as (keyof Counts & string)[];
  return z.object(Object.fromEntries(names.map((key) => [key, count])) as Record<keyof Counts & string, typeof count>);
}

function isKnown<Left extends { readonly code: string }>(left: Left): left is Left & { readonly code: FindingCode } {
  return Object.hasOwn(FINDINGS, left.code);
}

/** The findings as a summary has them. */
export function findingsToLeave(own: readonly Finding[]): Summary['findings'] {
  return own.slice(0, MAX_FINDINGS).map((finding) => ({ ...leftFinding.parse(finding), code: finding.code }));
}

export function readSummary({ text }: Pick<LeftSummary, 'text'>): Summary | undefined {
  try {
    return summary.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/**
 * Reads a summary that no key of this replica has signed. It counts only if its replica encrypts with a key that this
 * one lacks. Its times and the name of its key are then used, but no findings and no counts.
 */
export function readUnsigned(left: LeftSummary, self: KeyHolder, now: number): Summary | undefined {
  const read = readSummary(left);
  if (!read || !lacksKeyOf(self, read)) return undefined;
  const times = { startedAt: Math.min(read.startedAt, now), configuredAt: Math.min(read.configuredAt, now) };
  return { ...read, ...times, clockOffsetMs: undefined, findings: [], counts: NO_COUNTS, lately: NO_SHARES };
}
