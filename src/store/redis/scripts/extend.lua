-- Restarts the duration of a lease.
--
-- KEYS[1] lease
-- KEYS[2] due queue
-- ARGV[1] owner
-- ARGV[2] duration in ms
-- ARGV[3] subject id
-- Returns 1, or 0 when the owner has lost the lease.

local owner, duration, id = unpack(ARGV)
if redis.call('GET', KEYS[1]) ~= owner then return 0 end
redis.call('PEXPIRE', KEYS[1], duration)
redis.call('ZADD', KEYS[2], 'XX', clock() + duration, id)
return 1
