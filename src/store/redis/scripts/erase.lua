-- Deletes all terminals of an account and their due times, and remembers when the account was erased.
--
-- The directory entry stays until forgetDirectory: it is needed to find the key of the accessId.
--
-- KEYS[1] account
-- KEYS[2] due queue
-- KEYS[3] fences of the account
-- ARGV[1] account id
-- ARGV[2] ms for which the erasure is remembered
-- ARGV[3] announcement channel
-- Returns {epoch ms of the erasure, directory entry or nil}. The erasure is later than the generation of each record and
--   of each login in progress, and than each erasure before it.

local account, memory, channel = unpack(ARGV)
local now = clock()
local newest = math.max(now, erasedAt(KEYS[1], now))
local fences = redis.call('HGETALL', KEYS[3])
for at = 2, #fences, 2 do newest = math.max(newest, instantOf(fences[at], now)) end
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local terminal, record = fields[at], fields[at + 1]
  if #terminal == DIGEST_LENGTH then
    newest = math.max(newest, generationOf(record, now))
    redis.call('HDEL', KEYS[1], terminal)
    redis.call('ZREM', KEYS[2], account .. terminal)
  end
end

local instant = digits(newest + 1)
redis.call('HDEL', KEYS[1], FIELD_REGION)
redis.call('HSET', KEYS[1], FIELD_ERASED_AT, instant)
redis.call('PEXPIRE', KEYS[1], memory)
redis.call('PUBLISH', channel, 'erased ' .. account .. ' ' .. instant)
return {instant, redis.call('HGET', KEYS[1], FIELD_DIRECTORY)}
