/**
 * What `promise` comes to, or `otherwise` once `ms` are over. The promise goes on either way. A busy event loop runs its
 * timers before it reads what has arrived: it is given the chance to read first, or its own slowness would look like
 * others'.
 */
export function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined>;
export function within<T, Late>(ms: number, promise: Promise<T>, otherwise: Late): Promise<T | Late>;
export function within<T, Late>(ms: number, promise: Promise<T>, otherwise?: Late): Promise<T | Late | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => setImmediate(resolve, otherwise)), ms);
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
