import { NOW } from './lua.ts';

/**
 * KEYS due · ARGV limit, visibilityMs
 * Returns {ms until the next entry is due or -1, entries left that are due, id, id, …}.
 */
const claimDue = `${NOW}
local claimed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(claimed) do redis.call('ZADD', KEYS[1], now + ARGV[2], id) end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
table.insert(claimed, 1, redis.call('ZCOUNT', KEYS[1], '-inf', now))
table.insert(claimed, 1, head[2] and math.max(0, math.ceil(head[2] - now)) or -1)
return claimed
`;

/**
 * KEYS rate · ARGV intervalMs, burst
 * The generic cell rate algorithm: the key holds when the next one is due; farther ahead than that can be, the clock has
 * been set back. Returns 0, or the ms to wait.
 */
const take = `${NOW}
local interval = tonumber(ARGV[1])
local burst = tonumber(ARGV[2])
local due = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
if due > now + (burst + 1) * interval then due = now end
local wait = due - (burst - 1) * interval - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', due + interval), 'PX', math.ceil(due + interval - now))
return 0
`;

export const SCHEDULE_SCRIPTS = {
  claimDue: { numberOfKeys: 1, lua: claimDue },
  take: { numberOfKeys: 1, lua: take },
} as const;
