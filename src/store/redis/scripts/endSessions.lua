-- Ends all sessions of an account: deletes its terminals and their due times, and remembers when. An erasure also forgets
-- the account; its logout leaves the country and the directory entry.
--
-- The directory entry of an erased account stays until forgetDirectory: it is needed to find the key of the accessId.
--
-- KEYS[1] account
-- KEYS[2] due queue
-- KEYS[3] fences of the account
-- KEYS[4] changes
-- ARGV[1] 'erased' or 'loggedout'
-- ARGV[2] account id
-- ARGV[3] ms for which it is remembered, unless the account stays
-- ARGV[4] announcement channel
-- ARGV[5] epoch ms of an end that Redis has lost, and that is repeated; '' for a new one
-- Returns {epoch ms of the end, directory entry of an erased account or '', the change}. A new end is later than the
--   generation of each record and of each login in progress, and than each end before it. A repeated one leaves what is
--   newer, and returns nil if Redis knows it or a later one of its kind.

local kind, account, memory, channel, repeated = unpack(ARGV)
local isErased = kind == 'erased'
local field = isErased and FIELD_ERASED_AT or FIELD_LOGGED_OUT_AT
local fields = redis.call('HGETALL', KEYS[1])
local instant = tonumber(repeated)
if not instant then
  instant = math.max(now, sessionsEndedAt(KEYS[1]) + 1)
  local fences = redis.call('HGETALL', KEYS[3])
  for at = 2, #fences, 2 do instant = math.max(instant, math.max(unpack(readFence(fences[at]))) + 1) end
  for at = 1, #fields, 2 do
    if #fields[at] == DIGEST_LENGTH then instant = math.max(instant, generationOf(fields[at + 1]) + 1) end
  end
elseif timeIn(KEYS[1], field) >= instant then
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

local isKnown = directoryOf(KEYS[1])
redis.call('HSET', KEYS[1], field, digits(instant))
local entry
if isErased and not hasNewer then
  redis.call('HDEL', KEYS[1], FIELD_REGION)
  entry = bounded(redis.call('HGET', KEYS[1], FIELD_DIRECTORY))
  -- One that is too long names no accessId.
  if not entry then redis.call('HDEL', KEYS[1], FIELD_DIRECTORY) end
end
if not hasNewer and (isErased or not isKnown) then redis.call('PEXPIRE', KEYS[1], memory) end
local change = announce(KEYS[4], channel, kind .. ' ' .. account .. ' ' .. digits(instant))
return {digits(instant), entry or '', change}
