/** An address, a name without a dot, as in a compose network, or a name that only a cluster or a cloud resolves. */
const LOCAL = /^(\[[\da-f:.]+\]|\d+(\.\d+){3}|[\w-]+|[\w.-]+\.(svc|cluster\.local|internal|localhost))\.?$/i;

/**
 * Whether a request with this header `Host` may come from a page of another site, whose name resolves to this address
 * (DNS rebinding). Browsers always send the name.
 * @param allowed names that the operator has named, in lower case
 */
export function isForeignHost(host: string, allowed: readonly string[] = []): boolean {
  const name = host.replace(/:\d+$/, '');
  return !LOCAL.test(name) && !allowed.includes(name.toLowerCase());
}
