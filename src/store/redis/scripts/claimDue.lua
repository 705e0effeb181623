-- Takes the subjects that are due and hides them from other workers until they are leased.
--
-- KEYS[1] due queue
-- ARGV[1] maximum number of subjects
-- ARGV[2] ms for which they are hidden
-- ARGV[3] pattern of the subject ids of the shard. No token's end would remove another entry, so it is deleted.
-- Returns {ms until the next entry is due or -1, number of other due entries, ms for which the first entry was due
--   before this claim, number of deleted entries, subject id, subject id, …}.

local limit, hiddenFor, pattern = unpack(ARGV)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
local claimed = {}
for index = 1, #due, 2 do
  if #due[index] == 2 * DIGEST_LENGTH and string.find(due[index], pattern) then
    redis.call('ZADD', KEYS[1], now + hiddenFor, due[index])
    table.insert(claimed, due[index])
  else
    redis.call('ZREM', KEYS[1], due[index])
  end
end
table.insert(claimed, 1, #due / 2 - #claimed)
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local first = due[2] or head[2]
table.insert(claimed, 1, first and math.max(0, math.floor(now - first)) or 0)
table.insert(claimed, 1, redis.call('ZCOUNT', KEYS[1], '-inf', now))
table.insert(claimed, 1, head[2] and math.max(0, math.ceil(head[2] - now)) or -1)
return claimed
