/** A promise that the test settles. */
export function deferred<Value = void>() {
  const ends = { resolve: (_: Value): void => undefined, reject: (_: unknown): void => undefined };
  const promise = new Promise<Value>((resolve, reject) => Object.assign(ends, { resolve, reject }));
  return { promise, ...ends };
}
