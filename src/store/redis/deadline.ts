import { within } from '../../token/within.ts';

/** Most ms one command may take. A read of a token makes one, a first login a few: see docs/reliability.md. */
const COMMAND_MS = 200;

/** Redis did not answer in time. */
export class Unanswered extends Error {
  constructor() {
    super(`Redis did not answer within ${COMMAND_MS} ms`);
    this.name = 'Unanswered';
  }
}

/** What `command` comes to, in time. @throws Unanswered */
export function inTime<T>(command: Promise<T>): Promise<T> {
  return within<T, never>(COMMAND_MS, command, () => Promise.reject(new Unanswered()));
}
