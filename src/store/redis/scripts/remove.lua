-- Deletes a token and its due time, and makes every generation so far outdated.
--
-- A login in progress keeps its lease, so that no second login starts beside it.
--
-- KEYS[1] fences of the account
-- KEYS[2] account
-- KEYS[3] due queue
-- KEYS[4] changes
-- ARGV[1] terminal
-- ARGV[2] subject id
-- ARGV[3] announcement channel
-- ARGV[4] maximum number of terminals per account
-- ARGV[5] epoch ms at which the session of the logout was issued; '' without a session
-- ARGV[6] the generation that a logout returned which Redis has lost, and which is repeated; '' for a new logout
-- Returns {the generation up to which tokens are outdated, the change}, or nil if the sessions of the account were ended
--   after the session was issued. Then nothing has changed. A repeated logout also returns nil if Redis knows it, or has
--   a newer token.

local terminal, id, channel, limit, issuedAt, repeated = unpack(ARGV)
local ended = sessionsEndedAt(KEYS[2])
if ended > 0 and issuedAt ~= '' and tonumber(issuedAt) <= ended then return nil end

local generation = generationOf(redis.call('HGET', KEYS[2], terminal))
local fence = fenceOf(KEYS[1], terminal)
local outdated = tonumber(repeated)
if not outdated then
  outdated = math.max(now, generation + 1, math.max(unpack(fence)) + 1)
elseif math.max(fence[OUTDATED], generation - 1) >= outdated then
  return nil
end
raiseFence(KEYS[1], terminal, OUTDATED, outdated, limit)
redis.call('HDEL', KEYS[2], terminal)
redis.call('ZREM', KEYS[3], id)
return {digits(outdated), announce(KEYS[4], channel, 'removed ' .. id .. ' ' .. digits(outdated))}
