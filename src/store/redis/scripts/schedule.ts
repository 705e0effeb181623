import { LONGEST_BACKGROUND_WAIT_MS, LONGEST_WAIT_MS } from '../../../token/login-queue.ts';
import { NOW } from './prelude.ts';

/** KEYS any of a shard · ARGV channel, text. Published where the shard's announcements are. */
const beat = `
redis.call('PUBLISH', ARGV[1], ARGV[2])
`;

export const ANNOUNCEMENT_SCRIPTS = { beat: { numberOfKeys: 1, lua: beat } } as const;

/**
 * KEYS budget · ARGV intervalMs, burst, 'foreground' or 'background'
 * `reservePlace` of token/login-pace.ts on the clock of Redis. Returns {1 if granted, ms to wait}.
 */
const reserve = `${NOW}
local interval = tonumber(ARGV[1])
local state = redis.call('HMGET', KEYS[1], 'next', 'waitingUntil', 'nextBackground')
if tonumber(state[1] or 0) > now + ${LONGEST_WAIT_MS} + interval then state = {} end
local nextPlace = math.max(tonumber(state[1] or 0), now - (tonumber(ARGV[2]) - 1) * interval)
local waitingUntil = tonumber(state[2] or 0)
local nextBackground = tonumber(state[3] or 0)
local wait = math.max(0, nextPlace - now)
local crowded = waitingUntil > now
if ARGV[3] == 'foreground' then
  if wait > ${LONGEST_WAIT_MS} then return {0, math.ceil(wait - ${LONGEST_WAIT_MS})} end
  if wait > 0 then waitingUntil = now + wait end
else
  local backgroundWait = crowded and math.max(0, nextBackground - now) or 0
  local longest = crowded and ${LONGEST_WAIT_MS} or ${LONGEST_BACKGROUND_WAIT_MS}
  if backgroundWait > 0 or wait > longest then return {0, math.ceil(math.max(backgroundWait, wait - longest))} end
  nextBackground = now + 2 * interval
end
nextPlace = nextPlace + interval
redis.call('HSET', KEYS[1], 'next', string.format('%.3f', nextPlace),
  'waitingUntil', string.format('%.3f', waitingUntil), 'nextBackground', string.format('%.3f', nextBackground))
redis.call('PEXPIRE', KEYS[1], math.ceil(math.max(nextPlace, nextBackground, waitingUntil) - now + ARGV[2] * interval) + 1000)
return {1, math.ceil(wait)}
`;

export const BUDGET_SCRIPTS = { reserve: { numberOfKeys: 1, lua: reserve } } as const;

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
