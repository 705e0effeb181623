-- Leaves the summary of a replica for the others.
--
-- KEYS[1] replicas
-- ARGV[1] id of the replica
-- ARGV[2] summary
-- Returns 1.

local id, summary = unpack(ARGV)
local left = digits(now) .. ' ' .. summary
redis.call('HSET', KEYS[1], id, left)
-- Replicas that ended without a shutdown stay until there are too many. The live ones write theirs again within
-- seconds.
if redis.call('HLEN', KEYS[1]) > MAX_REPLICAS then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], id, left)
end
return redis.call('PEXPIRE', KEYS[1], SUMMARIES_MS)
