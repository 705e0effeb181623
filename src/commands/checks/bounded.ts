import { within } from '../../token/within.ts';
import { type Finding, fail } from './finding.ts';

/** Longer than the deadlines of all that a check does, one after another. */
const LIMIT_MS = 12_000;

/** A check's findings; a failure of the check itself is a finding too, and so is one that does not come to an end. */
export async function bounded(what: string, check: Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    const findings = await within(LIMIT_MS, check);
    return findings ?? [fail(what, { detail: `not known after ${LIMIT_MS / 1_000} s`, mend: 'run the check again' })];
  } catch (error) {
    // Its message may hold anything.
    const detail = `the check itself failed (${error instanceof Error ? error.name : typeof error})`;
    return [fail(what, { detail, mend: 'this is a fault of the broker: please report it' })];
  }
}
