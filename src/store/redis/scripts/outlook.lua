-- Counts the subjects of one shard that are due until given times. Changes nothing.
--
-- KEYS[1] due queue
-- ARGV[1…] ms from now
-- Returns {ms for which the first entry has been due or 0, number of entries, number of entries due within ARGV[1], …}.

local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local overdue = head[2] and math.max(0, math.floor(now - head[2])) or 0
local answer = {overdue, redis.call('ZCOUNT', KEYS[1], '-inf', '+inf')}
for _, ms in ipairs(ARGV) do table.insert(answer, redis.call('ZCOUNT', KEYS[1], '-inf', now + ms)) end
return answer
