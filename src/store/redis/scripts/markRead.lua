-- Sets the read flag of a generation.
--
-- KEYS[1] account
-- ARGV[1] terminal
-- ARGV[2] generation
-- Returns 1, or 0 when the flag was set before or another generation is stored.

local terminal, generation = unpack(ARGV)
local record = redis.call('HGET', KEYS[1], terminal)
if not record or generationOf(record, clock()) ~= tonumber(generation) or isRead(record) then return 0 end
redis.call('HSET', KEYS[1], terminal, string.sub(record, 1, 1) .. string.char(1) .. string.sub(record, 3))
return 1
