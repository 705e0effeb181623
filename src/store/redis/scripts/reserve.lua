-- Reserves the next place in the queue of vendor logins (generic cell rate algorithm with a queue; a place is a point in
-- time).
--
-- Newcomers go first, which are foreground logins of accounts without a recent one. Then returning accounts, then the
-- background. While a login waits, the priorities below it get at most every second place together. So they let a
-- newcomer wait for at most half a second, and none of them starves.
--
-- KEYS[1] login queue
-- KEYS[2] mark of an account with a recent foreground login
-- ARGV[1] ms between two logins
-- ARGV[2] number of logins at once
-- ARGV[3] 'foreground' or 'background'
-- ARGV[4] ms for which the account counts as returning
-- Returns {1 if a place was reserved else 0, ms to wait}.

local interval, burst, urgency, returningFor = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local isForeground = urgency == 'foreground'
local isReturning = isForeground and redis.call('GET', KEYS[2]) ~= false
local isNewcomer = isForeground and not isReturning
local state = redis.call('HMGET', KEYS[1], 'next', 'newcomersUntil', 'foregroundUntil', 'nextYielding', 'nextReturning')
-- No place is that late: the clock was set back.
if tonumber(state[1] or 0) > now + LONGEST_WAIT_MS + 2 * interval then state = {} end
local nextPlace = math.max(tonumber(state[1] or 0), now - (burst - 1) * interval)
local newcomersUntil, foregroundUntil = tonumber(state[2] or 0), tonumber(state[3] or 0)
local nextYielding, nextReturning = tonumber(state[4] or 0), tonumber(state[5] or 0)

local wait = math.max(0, nextPlace - now)
local yields = not isNewcomer and (isReturning and newcomersUntil or foregroundUntil) > now
local shareFrom = isReturning and math.max(nextYielding, nextReturning) or nextYielding
local shareWait = yields and math.max(0, shareFrom - now) or 0
local longestFree = isReturning and LONGEST_RETURNING_WAIT_MS or LONGEST_BACKGROUND_WAIT_MS
local longestBusy = isNewcomer and LONGEST_WAIT_MS or LONGEST_WAIT_MS + interval
local longest = (isNewcomer or yields) and longestBusy or longestFree
if shareWait > 0 or wait > longest then return {0, math.ceil(math.max(shareWait, wait - longest))} end

nextPlace = nextPlace + interval
if isNewcomer and wait > 0 then newcomersUntil = now + wait end
if isForeground and wait > 0 then foregroundUntil = now + wait end
if yields or not isForeground then nextYielding = now + YIELDING_SHARE * interval end
if isReturning then nextReturning = now + RETURNING_SHARE * interval end
local function exact(instant) return string.format('%.3f', instant) end
redis.call('HSET', KEYS[1], 'next', exact(nextPlace), 'newcomersUntil', exact(newcomersUntil),
  'foregroundUntil', exact(foregroundUntil), 'nextYielding', exact(nextYielding), 'nextReturning', exact(nextReturning))
local lastUse = math.max(nextPlace, newcomersUntil, foregroundUntil, nextYielding, nextReturning)
redis.call('PEXPIRE', KEYS[1], math.ceil(lastUse - now + burst * interval) + 1000)
if isForeground then redis.call('SET', KEYS[2], '1', 'PX', returningFor) end
return {1, math.ceil(wait)}
