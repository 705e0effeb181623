import { LONGEST_UNASKED_WAIT_MS, LONGEST_WAIT_MS } from '../../token/login-pace.ts';
import { NOW } from './lua.ts';

/**
 * KEYS budget · ARGV intervalMs, burst, 'asked' or 'unasked'
 * `reservePlace` of token/login-pace.ts on the clock of Redis. Returns {1 if granted, ms to wait}.
 */
const reserve = `${NOW}
local interval = tonumber(ARGV[1])
local state = redis.call('HMGET', KEYS[1], 'next', 'waitingUntil', 'nextUnasked')
if tonumber(state[1] or 0) > now + ${LONGEST_WAIT_MS} + interval then state = {} end
local nextPlace = math.max(tonumber(state[1] or 0), now - (tonumber(ARGV[2]) - 1) * interval)
local waitingUntil = tonumber(state[2] or 0)
local nextUnasked = tonumber(state[3] or 0)
local wait = math.max(0, nextPlace - now)
local crowded = waitingUntil > now
if ARGV[3] == 'asked' then
  if wait > ${LONGEST_WAIT_MS} then return {0, math.ceil(wait - ${LONGEST_WAIT_MS})} end
  if wait > 0 then waitingUntil = now + wait end
else
  local unaskedWait = crowded and math.max(0, nextUnasked - now) or 0
  local longest = crowded and ${LONGEST_WAIT_MS} or ${LONGEST_UNASKED_WAIT_MS}
  if unaskedWait > 0 or wait > longest then return {0, math.ceil(math.max(unaskedWait, wait - longest))} end
  nextUnasked = now + 2 * interval
end
nextPlace = nextPlace + interval
redis.call('HSET', KEYS[1], 'next', string.format('%.3f', nextPlace),
  'waitingUntil', string.format('%.3f', waitingUntil), 'nextUnasked', string.format('%.3f', nextUnasked))
redis.call('PEXPIRE', KEYS[1], math.ceil(math.max(nextPlace, nextUnasked, waitingUntil) - now + ARGV[2] * interval) + 1000)
return {1, math.ceil(wait)}
`;

export const BUDGET_SCRIPTS = { reserve: { numberOfKeys: 1, lua: reserve } } as const;
