-- Reserves the next place in the queue of vendor logins: reservePlace of token/login-queue.ts on the clock of Redis.
--
-- KEYS[1] login queue
-- ARGV[1] ms between two logins
-- ARGV[2] number of logins at once
-- ARGV[3] 'foreground' or 'background'
-- Returns {1 if a place was reserved else 0, ms to wait}.

local interval, burst, urgency = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local now = clock()
local state = redis.call('HMGET', KEYS[1], 'next', 'waitingUntil', 'nextBackground')
-- No place is that late: the clock was set back.
if tonumber(state[1] or 0) > now + LONGEST_WAIT_MS + interval then state = {} end
local nextPlace = math.max(tonumber(state[1] or 0), now - (burst - 1) * interval)
local waitingUntil = tonumber(state[2] or 0)
local nextBackground = tonumber(state[3] or 0)

local wait = math.max(0, nextPlace - now)
if urgency == 'foreground' then
  if wait > LONGEST_WAIT_MS then return {0, math.ceil(wait - LONGEST_WAIT_MS)} end
  if wait > 0 then waitingUntil = now + wait end
else
  local crowded = waitingUntil > now
  local backgroundWait = crowded and math.max(0, nextBackground - now) or 0
  local longest = crowded and LONGEST_WAIT_MS or LONGEST_BACKGROUND_WAIT_MS
  if backgroundWait > 0 or wait > longest then return {0, math.ceil(math.max(backgroundWait, wait - longest))} end
  nextBackground = now + 2 * interval
end

nextPlace = nextPlace + interval
redis.call('HSET', KEYS[1], 'next', string.format('%.3f', nextPlace),
  'waitingUntil', string.format('%.3f', waitingUntil), 'nextBackground', string.format('%.3f', nextBackground))
local lastUse = math.max(nextPlace, nextBackground, waitingUntil)
redis.call('PEXPIRE', KEYS[1], math.ceil(lastUse - now + burst * interval) + 1000)
return {1, math.ceil(wait)}
