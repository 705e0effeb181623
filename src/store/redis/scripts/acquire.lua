-- Grants the lease of a terminal with its next generation.
--
-- An expired token is deleted. While the account cools down, its due subject is not due.
--
-- KEYS[1] lease
-- KEYS[2] fences of the account
-- KEYS[3] account
-- KEYS[4] due queue
-- KEYS[5] failures of the account
-- ARGV[1] owner
-- ARGV[2] duration of the lease in ms
-- ARGV[3] terminal
-- ARGV[4] subject id
-- ARGV[5] maximum number of terminals per account
-- Returns {'granted', ended, generation, record or nil, pinned region or nil, epoch ms at which the sessions of the
--   account were ended or nil}, {'terminal_limit', ended}, {'held', ms until the lease ends} or {'cooling', ms until the
--   cool-down ends, error code}. `ended` is 1 if an expired token was deleted that an app had read, else 0.

local owner, duration, terminal, id, limit = unpack(ARGV)
local heldFor = leasedFor(KEYS[1], duration)
-- A client that sends the command again after a lost connection gets its own lease.
if heldFor > 0 and redis.call('GET', KEYS[1]) ~= owner then return {'held', heldFor} end

local failures = redis.call('HMGET', KEYS[5], 'until', 'code')
local coolsFor = coolingFor(failures[1])
if coolsFor > 0 then
  -- A Redis without free memory refuses this.
  redis.pcall('ZADD', KEYS[4], 'XX', 'GT', now + coolsFor, id)
  return {'cooling', coolsFor, bounded(failures[2])}
end

local record = redis.call('HGET', KEYS[3], terminal)
local hasEnded = expiryOf(record) <= now
local ended = hasEnded and isRead(record) and 1 or 0
local isFull = hasEnded and full(KEYS[3], limit)
local sessionsEnded = sessionsEndedAt(KEYS[3])
local generation = nextGeneration(KEYS[2], terminal, record, sessionsEnded)
if not isFull then
  redis.call('SET', KEYS[1], owner, 'PX', duration)
  raiseFence(KEYS[2], terminal, GRANTED, generation, limit)
  redis.call('ZADD', KEYS[4], 'XX', now + duration, id)
end
if hasEnded then
  redis.call('HDEL', KEYS[3], terminal)
  redis.call('ZREM', KEYS[4], id)
  record = false
end
if isFull then return {'terminal_limit', ended} end
local region = bounded(redis.call('HGET', KEYS[3], FIELD_REGION))
return {'granted', ended, digits(generation), bounded(record), region, sessionsEnded > 0 and digits(sessionsEnded)}
