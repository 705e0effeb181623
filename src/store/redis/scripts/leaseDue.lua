-- Grants the leases of due subjects of one shard.
--
-- An expired token is deleted. A subject that is leased, or whose account is cooling down, is due again when that ends. A subject whose
-- data cannot be processed is postponed, and does not stop the others.
--
-- KEYS[1] due queue
-- KEYS[2…] lease, fence, account and failures of the account, for each subject
-- ARGV[1] owner
-- ARGV[2] duration of a lease in ms
-- ARGV[3…] terminal and subject id of each subject
-- Returns for each granted subject {id, generation, record, pinned region or nil, epoch ms of the last erasure or nil},
--   and {id} for each subject whose data cannot be processed.

local POSTPONE_MS = 60000

local owner, duration = unpack(ARGV, 1, 2)
local now = clock()
local results = {}

local function leaseOne(at, terminal, id)
  local lease, fence, account, failures = unpack(KEYS, at, at + 3)
  local known = redis.call('HMGET', account, terminal, FIELD_REGION, FIELD_ERASED_AT)
  local record, region, erasure = known[1], known[2], known[3]
  if expiryOf(record) <= now then
    redis.call('HDEL', account, terminal)
    redis.call('ZREM', KEYS[1], id)
    return
  end
  local busyFor = math.max(redis.call('PTTL', lease), tonumber(redis.call('HGET', failures, 'until') or 0) - now)
  if busyFor > 0 then
    redis.call('ZADD', KEYS[1], 'XX', now + busyFor, id)
    return
  end
  local newest = math.max(tonumber(redis.call('GET', fence) or 0), generationOf(record), tonumber(erasure or 0))
  local generation = digits(math.max(now, newest + 1))
  redis.call('SET', lease, owner, 'PX', duration)
  redis.call('SET', fence, generation, 'PX', FENCE_MS)
  redis.call('ZADD', KEYS[1], 'XX', now + duration, id)
  table.insert(results, {id, generation, record, region, erasure})
end

for at = 2, #KEYS, 4 do
  local terminal, id = ARGV[at / 2 + 2], ARGV[at / 2 + 3]
  if not pcall(leaseOne, at, terminal, id) then
    redis.call('ZADD', KEYS[1], 'XX', now + POSTPONE_MS, id)
    table.insert(results, {id})
  end
end
return results
