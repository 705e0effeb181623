import type { RedisErrorKind } from '../../token/observer.ts';
import { Unanswered } from './deadline.ts';

/** How ioredis tells that a command found no connection, or lost it; Redis's own errors begin with a word in capitals. */
const NO_CONNECTION = [
  'Connection is closed',
  "Stream isn't writeable",
  'Reached the max retries',
  "Cluster isn't ready",
  'Cluster is disconnect',
  'Node is disconnected',
  'None of startup nodes',
  'Failed to refresh slots',
  'Too many Cluster redirections',
  'connect ETIMEDOUT',
];

const REPLIES = new Map<string, RedisErrorKind>([
  ['READONLY', 'readonly'],
  ['OOM', 'oom'],
  ['LOADING', 'loading'],
]);

/** What kind of failure a command met: what it threw, before it is made `store_unavailable`. */
export function redisErrorKind(error: unknown): RedisErrorKind {
  if (error instanceof Unanswered) return 'timeout';
  if (!(error instanceof Error)) return 'other';
  const isOfSocket = 'code' in error && 'syscall' in error;
  if (isOfSocket || NO_CONNECTION.some((start) => error.message.startsWith(start))) return 'connection';
  return REPLIES.get(error.message.split(' ', 1)[0] ?? '') ?? 'other';
}
