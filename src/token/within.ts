/**
 * What `promise` comes to, or `undefined` once `ms` are over. It goes on either way. A busy event loop runs its timers
 * before it reads what has arrived: it is given the chance to read first, or its own slowness would look like others'.
 */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    const expire = () => resolve(undefined);
    timer = setTimeout(() => setImmediate(() => setImmediate(expire)), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
