/** Most ms one command may take. */
export const COMMAND_MS = 180;

/** Redis did not answer in time. */
export class Unanswered extends Error {
  constructor() {
    super(`Redis did not answer within ${COMMAND_MS} ms`);
    this.name = 'Unanswered';
  }
}
