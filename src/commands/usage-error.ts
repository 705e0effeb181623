/** The command line is wrong: the message says how, and what is allowed. Ends the process with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
