-- Grants the leases of due subjects of one shard.
--
-- An expired token is deleted. A subject that is leased, or whose account is cooling down, is due again when that ends.
-- A subject whose data cannot be processed is postponed, and does not stop the others.
--
-- KEYS[1] due queue
-- KEYS[2…] lease, fences of the account, account and failures of the account, for each subject
-- ARGV[1] owner
-- ARGV[2] duration of a lease in ms
-- ARGV[3] maximum number of terminals per account
-- ARGV[4…] terminal and subject id of each subject
-- Returns for each granted subject {id, generation, record, pinned region or nil, epoch ms of the last erasure or nil},
--   {id, 'ended'} for each expired token that an app had read, and {id} for each subject whose data cannot be processed.

local POSTPONE_MS = 60000

local owner, duration, limit = unpack(ARGV, 1, 3)
local results = {}

local function leaseOne(at, terminal, id)
  local lease, fences, account, failures = unpack(KEYS, at, at + 3)
  local known = redis.call('HMGET', account, terminal, FIELD_REGION, FIELD_ERASED_AT)
  local record, region, erasure = known[1], known[2], known[3]
  if record and #record < HEADER_LENGTH then error('no broker wrote this record') end
  if expiryOf(record) <= now then
    redis.call('HDEL', account, terminal)
    redis.call('ZREM', KEYS[1], id)
    if isRead(record) then table.insert(results, {id, 'ended'}) end
    return
  end
  local busyFor = math.max(leasedFor(lease, duration), coolingFor(redis.call('HGET', failures, 'until')))
  if busyFor > 0 then
    redis.call('ZADD', KEYS[1], 'XX', now + busyFor, id)
    return
  end
  local generation = nextGeneration(fences, terminal, record, instantOf(erasure))
  redis.call('SET', lease, owner, 'PX', duration)
  raiseFence(fences, terminal, GRANTED, generation, limit)
  redis.call('ZADD', KEYS[1], 'XX', now + duration, id)
  table.insert(results, {id, digits(generation), record, region, erasure})
end

for at = 2, #KEYS, 4 do
  local terminal, id = ARGV[at / 2 + 3], ARGV[at / 2 + 4]
  if not pcall(leaseOne, at, terminal, id) then
    redis.call('ZADD', KEYS[1], 'XX', now + POSTPONE_MS, id)
    table.insert(results, {id})
  end
end
return results
