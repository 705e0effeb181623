-- Deletes a token and its due time, and makes every generation so far outdated.
--
-- A login in progress keeps its lease, so that no second login starts beside it.
--
-- KEYS[1] fences of the account
-- KEYS[2] account
-- KEYS[3] due queue
-- ARGV[1] terminal
-- ARGV[2] subject id
-- ARGV[3] announcement channel
-- ARGV[4] maximum number of terminals per account
-- ARGV[5] epoch ms at which the session of the logout was issued; '' without a session
-- Returns the generation up to which tokens are outdated, or nil if the account was erased after the session was issued.
--   Then nothing has changed.

local terminal, id, channel, limit, issuedAt = unpack(ARGV)
local now = clock()
local erased = erasedAt(KEYS[2], now)
if erased > 0 and issuedAt ~= '' and tonumber(issuedAt) <= erased then return nil end

local record = redis.call('HGET', KEYS[2], terminal)
local newest = math.max(fenceOf(KEYS[1], terminal, now), generationOf(record, now))
local outdated = digits(math.max(now, newest + 1))
raiseFence(KEYS[1], terminal, outdated, limit, now)
redis.call('HDEL', KEYS[2], terminal)
redis.call('ZREM', KEYS[3], id)
redis.call('PUBLISH', channel, 'removed ' .. id .. ' ' .. outdated)
return outdated
