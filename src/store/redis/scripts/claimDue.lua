-- Takes the subjects that are due and hides them from other workers until they are leased.
--
-- KEYS due queue of each shard
-- ARGV[1] ms for which they are hidden
-- ARGV[2…] for each shard the maximum number of subjects, and the pattern of its subject ids. No token's end would remove
--   another entry, so it is deleted.
-- Returns for each shard {ms until the next entry is due or -1, number of other due entries, ms for which the first
--   entry was due before this claim, number of deleted entries, subject id, subject id, …}.

local hiddenFor = ARGV[1]

local function firstIn(queue)
  return redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
end

local answers = {}
for at, queue in ipairs(KEYS) do
  local limit, pattern = ARGV[2 * at], ARGV[2 * at + 1]
  local first = firstIn(queue)
  local claimed, dropped, backlog, head = {}, 0, 0, first
  if first and tonumber(first) <= now then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', 0, limit)) do
      if #id == 2 * DIGEST_LENGTH and string.find(id, pattern) then
        redis.call('ZADD', queue, now + hiddenFor, id)
        table.insert(claimed, id)
      else
        redis.call('ZREM', queue, id)
        dropped = dropped + 1
      end
    end
    backlog = redis.call('ZCOUNT', queue, '-inf', now)
    head = firstIn(queue)
  end
  local overdue = first and math.max(0, math.floor(now - first)) or 0
  local nextIn = head and math.max(0, math.ceil(head - now)) or -1
  table.insert(answers, {nextIn, backlog, overdue, dropped, unpack(claimed)})
end
return answers
