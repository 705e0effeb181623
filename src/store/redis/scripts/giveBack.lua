-- Gives one permit of a rate limit back.
--
-- KEYS[1] rate: epoch ms at which the next permit is due
-- ARGV[1] ms between two permits
-- Returns nothing.

local due = tonumber(redis.call('GET', KEYS[1]) or 0) - tonumber(ARGV[1])
if due > now then
  redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil(due - now))
else
  redis.call('DEL', KEYS[1])
end
