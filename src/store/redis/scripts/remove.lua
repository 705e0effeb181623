-- Deletes a token and its due time, and makes every generation so far outdated.
--
-- A login in progress keeps its lease, so that no second login starts beside it.
--
-- KEYS[1] fence
-- KEYS[2] account
-- KEYS[3] due queue
-- ARGV[1] terminal
-- ARGV[2] subject id
-- ARGV[3] announcement channel
-- Returns the generation up to which tokens are outdated.

local terminal, id, channel = unpack(ARGV)
local record = redis.call('HGET', KEYS[2], terminal)
local fence = tonumber(redis.call('GET', KEYS[1]) or 0)
local outdated = digits(math.max(clock(), fence + 1, generationOf(record) + 1))
redis.call('SET', KEYS[1], outdated, 'PX', FENCE_MS)
redis.call('HDEL', KEYS[2], terminal)
redis.call('ZREM', KEYS[3], id)
redis.call('PUBLISH', channel, 'removed ' .. id .. ' ' .. outdated)
return outdated
