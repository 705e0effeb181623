import { within } from '../../token/within.ts';

/** Most ms one command may take. */
const COMMAND_MS = 180;

/** Redis did not answer in time. */
export class Unanswered extends Error {
  constructor() {
    super(`Redis did not answer within ${COMMAND_MS} ms`);
    this.name = 'Unanswered';
  }
}

/** Stands for no answer, as a command may well answer `undefined`. */
const NONE = Symbol('none');

/** What `command` comes to, in time. @throws Unanswered */
export function inTime<T>(command: Promise<T>): Promise<T> {
  return within(COMMAND_MS, command, NONE).then((answer) => {
    if (answer === NONE) throw new Unanswered();
    return answer;
  });
}
