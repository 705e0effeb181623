/** Most ms one command may take. A read of a token makes one, a first login a few: see docs/reliability.md. */
const COMMAND_MS = 400;

/** Redis did not answer in time. */
export class Unanswered extends Error {
  constructor() {
    super(`Redis did not answer within ${COMMAND_MS} ms`);
    this.name = 'Unanswered';
  }
}

/**
 * What `command` comes to, in time. A busy event loop runs its timers before it reads what has arrived: it is given the
 * chance to read first, or its own slowness would look like that of Redis.
 * @throws Unanswered
 */
export async function inTime<T>(command: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_, reject) => {
    const expire = () => reject(new Unanswered());
    timer = setTimeout(() => setImmediate(() => setImmediate(expire)), COMMAND_MS);
  });
  try {
    return await Promise.race([command, expiry]);
  } finally {
    clearTimeout(timer);
  }
}
