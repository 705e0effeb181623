import { readFileSync } from 'node:fs';

/**
 * Most open connections of a listener.
 * @param most the bound where descriptors are plenty
 * @param descriptorShare share of the descriptors that the connections may use. Redis and the vendor need some too
 */
export function connectionBound(most: number, descriptorShare: number): number {
  try {
    const [, limit] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return Math.min(most, Math.floor(Number(limit ?? most) * descriptorShare));
  } catch {
    return most;
  }
}
