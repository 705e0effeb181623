-- Takes the subjects that are due and hides them from other workers until they are leased.
--
-- KEYS[1] due queue
-- ARGV[1] maximum number of subjects
-- ARGV[2] ms for which they are hidden
-- Returns {ms until the next entry is due or -1, number of other due entries, ms for which the first entry was due
--   before this claim, subject id, subject id, …}. '' stands for an entry that was too long for an id, and is deleted.

local limit, hiddenFor = unpack(ARGV)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
local claimed = {}
for index = 1, #due, 2 do
  if #due[index] <= 2 * DIGEST_LENGTH then
    redis.call('ZADD', KEYS[1], now + hiddenFor, due[index])
    table.insert(claimed, due[index])
  else
    redis.call('ZREM', KEYS[1], due[index])
    table.insert(claimed, '')
  end
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local first = due[2] or head[2]
table.insert(claimed, 1, first and math.max(0, math.floor(now - first)) or 0)
table.insert(claimed, 1, redis.call('ZCOUNT', KEYS[1], '-inf', now))
table.insert(claimed, 1, head[2] and math.max(0, math.ceil(head[2] - now)) or -1)
return claimed
