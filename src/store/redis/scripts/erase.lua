-- Deletes all terminals of an account and their due times, and remembers when the account was erased.
--
-- The directory entry stays until forgetDirectory: it is needed to find the key of the accessId.
--
-- KEYS[1] account
-- KEYS[2] due queue
-- KEYS[3] fences of the account
-- KEYS[4] changes
-- ARGV[1] account id
-- ARGV[2] ms for which the erasure is remembered
-- ARGV[3] announcement channel
-- ARGV[4] epoch ms of an erasure that Redis has lost, and that is repeated; '' for a new one
-- Returns {epoch ms of the erasure, directory entry or nil, the change}. A new erasure is later than the generation of
--   each record and of each login in progress, and than each erasure before it. A repeated one leaves what is newer,
--   and returns nil if Redis knows it or a later one.

local account, memory, channel, repeated = unpack(ARGV)
local fields = redis.call('HGETALL', KEYS[1])
local instant = tonumber(repeated)
if not instant then
  instant = math.max(now, erasedAt(KEYS[1]) + 1)
  local fences = redis.call('HGETALL', KEYS[3])
  for at = 2, #fences, 2 do instant = math.max(instant, math.max(unpack(readFence(fences[at]))) + 1) end
  for at = 1, #fields, 2 do
    if #fields[at] == DIGEST_LENGTH then instant = math.max(instant, generationOf(fields[at + 1]) + 1) end
  end
elseif erasedAt(KEYS[1]) >= instant then
  return nil
end

local hasNewer = false
for at = 1, #fields, 2 do
  local terminal = fields[at]
  if #terminal == DIGEST_LENGTH then
    if generationOf(fields[at + 1]) > instant then
      hasNewer = true
    else
      redis.call('HDEL', KEYS[1], terminal)
      redis.call('ZREM', KEYS[2], account .. terminal)
    end
  end
end

redis.call('HSET', KEYS[1], FIELD_ERASED_AT, digits(instant))
local entry
if not hasNewer then
  redis.call('HDEL', KEYS[1], FIELD_REGION)
  redis.call('PEXPIRE', KEYS[1], memory)
  entry = bounded(redis.call('HGET', KEYS[1], FIELD_DIRECTORY))
  -- One that is too long names no accessId.
  if not entry then redis.call('HDEL', KEYS[1], FIELD_DIRECTORY) end
end
local change = announce(KEYS[4], channel, 'erased ' .. account .. ' ' .. digits(instant))
return {digits(instant), entry or '', change}
