-- Sets the read flag of a generation, and makes the subject due earlier if it is due later.
--
-- KEYS[1] account
-- KEYS[2] due queue
-- ARGV[1] terminal
-- ARGV[2] generation
-- ARGV[3] subject id
-- ARGV[4] ms until the subject is due
-- Returns 1, or 0 when the flag was set before or another generation is stored. Then nothing changes.

local terminal, generation, id, dueIn = unpack(ARGV)
local record = redis.call('HGET', KEYS[1], terminal)
if not record or generationOf(record) ~= tonumber(generation) or isRead(record) then return 0 end
redis.call('HSET', KEYS[1], terminal, flagged(record, 2))
redis.call('ZADD', KEYS[2], 'XX', 'LT', now + dueIn, id)
return 1
