-- Takes one permit of a rate limit (generic cell rate algorithm).
--
-- KEYS[1] rate: epoch ms at which the next permit is due
-- ARGV[1] ms between two permits
-- ARGV[2] number of permits at once
-- Returns 0 when a permit was taken, else the ms until the next one.

local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
-- No permit is due that late: the clock was set back.
if due > now + (burst + 1) * interval then due = now end
local wait = due - (burst - 1) * interval - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', due + interval), 'PX', math.ceil(due + interval - now))
return 0
