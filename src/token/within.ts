/**
 * What `promise` comes to, or once `ms` are over what `late` gives instead, `undefined` without it. The promise goes on
 * either way. A busy event loop runs its timers before it reads what has arrived: it is given the chance to read first,
 * or its own slowness would look like others'.
 */
export function within<T, Late = undefined>(
  ms: number,
  promise: Promise<T>,
  late?: () => Late | Promise<Late>,
): Promise<T | Late> {
  return new Promise((resolve, reject) => {
    const expire = () => resolve(late?.() as Late);
    const timer = setTimeout(() => setImmediate(() => setImmediate(expire)), ms);
    promise.then(
      (answer) => {
        clearTimeout(timer);
        resolve(answer);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
