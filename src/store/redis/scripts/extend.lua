-- Restarts the duration of the leases of one shard.
--
-- KEYS[1] due queue
-- KEYS[2…] lease of each subject
-- ARGV owner, duration in ms and subject id of each subject
-- Returns for each subject 1, or 0 when the owner has lost the lease.

local results = {}
for at = 2, #KEYS do
  local owner, duration, id = unpack(ARGV, 3 * at - 5, 3 * at - 3)
  local isOwner = redis.call('GET', KEYS[at]) == owner
  if isOwner then
    redis.call('PEXPIRE', KEYS[at], duration)
    redis.call('ZADD', KEYS[1], 'XX', now + duration, id)
  end
  table.insert(results, isOwner and 1 or 0)
end
return results
