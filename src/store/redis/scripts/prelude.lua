-- Definitions that the scripts share. The loader puts them in front of each script, after the constants of
-- lua-scripts.ts.
--
-- Every script uses the clock of Redis, so the clocks of the replicas need not agree. The bytes of a record are in
-- record-codec.ts. Lua counts them from 1, so that the read flag is byte 2.

-- How long the fence of a logout or of an unsaved generation is kept, from then or from its own time. That one is later
-- if the clock of Redis was set back. `save` refuses older writes.
local FENCE_MS = 3600000

-- Maximum number of fences of an account: this many, or two per terminal that the account may have.
local MAX_FENCES = 64

-- The field in place of the oldest fences of an account. The fields of terminals are longer.
local FLOOR = 'floor'

-- Epoch ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- All digits of an instant or a generation. By default, Lua prints 14 digits; epoch ms have 13.
local function digits(instant)
  return string.format('%.0f', instant)
end

-- The last argument of every script is the time at which its caller gives up, or ''. What has been given up must not be
-- done later.
local deadline = table.remove(ARGV)
if deadline ~= '' and now > tonumber(deadline) then return redis.error_reply('LATE ' .. digits(now)) end

-- A generation or a time that Redis holds; 0 when there is none, or one that is too far ahead of the clock: no broker
-- stored it, and a later generation would have to exceed it.
local function instantOf(stored)
  local instant = tonumber(stored or 0) or 0
  return instant <= now + MAX_LEAD_MS and instant or 0
end

-- A value that Redis holds; false when there is none, or one that is longer than any that a broker stores. An answer
-- with such a value would end the connection that all accounts share.
local function bounded(stored)
  return stored and #stored <= MAX_STORED_BYTES and stored
end

-- 0 when there is no record. Bytes that are too short are none.
local function headerOf(record, at)
  return record and #record >= HEADER_LENGTH and struct.unpack('>I6', record, at) or 0
end

local function generationOf(record)
  return instantOf(headerOf(record, 5))
end

local function expiryOf(record)
  return headerOf(record, 11)
end

-- When the vendor had answered the login of a record.
local function answeredAt(record)
  return instantOf(headerOf(record, 17))
end

-- Whether two records are of the same login.
local function isSameLogin(record, other)
  return record and generationOf(record) == generationOf(other) and string.sub(record, 23, 26) == string.sub(other, 23, 26)
end

local function isRead(record)
  return record and string.byte(record, 2) == 1
end

-- The record with its read flag (byte 2) or its suspect flag (byte 3) set.
local function flagged(record, byte)
  return string.sub(record, 1, byte - 1) .. string.char(1) .. string.sub(record, byte + 1)
end

-- Whether the account has its maximum number of terminals with an unexpired token.
local function full(account, limit)
  local fields = redis.call('HGETALL', account)
  local terminals = 0
  for at = 1, #fields, 2 do
    if #fields[at] == DIGEST_LENGTH and expiryOf(fields[at + 1]) > now then terminals = terminals + 1 end
  end
  return terminals >= tonumber(limit)
end

-- A time in a field of the account, epoch ms; 0 when there is none. A value that is too long is deleted, because each
-- read of a token answers with it.
local function timeIn(account, field)
  local stored = redis.call('HGET', account, field)
  if stored and not bounded(stored) then redis.call('HDEL', account, field) end
  return instantOf(bounded(stored))
end

-- When all sessions of the account were last ended, by its erasure or its logout. Epoch ms; 0 when they never were.
local function sessionsEndedAt(account)
  return math.max(timeIn(account, FIELD_ERASED_AT), timeIn(account, FIELD_LOGGED_OUT_AT))
end

-- The directory entry of an account; false when there is none, or one that is too long. Only an erased account expires,
-- unless it has logged in since. Its entry is left for the erasure, which needs it to delete the accessIds.
local function directoryOf(account)
  local entry = redis.call('PTTL', account) <= 0 and bounded(redis.call('HGET', account, FIELD_DIRECTORY))
  return entry and entry ~= '' and entry
end

-- The fence of a terminal: the newest generation that was granted, the newest generation that a logout has outdated,
-- and the latest answer to a login whose token was dropped. Epoch ms; 0 when there is none.
local GRANTED, OUTDATED, DROPPED = 1, 2, 3

local function readFence(stored)
  local granted, outdated, dropped = string.match(stored or '', '^(%d+) (%d+) (%d+)$')
  return {instantOf(granted), instantOf(outdated), instantOf(dropped)}
end

-- Where the terminal's own fence is gone, the floor of the account is at least as high.
local function fenceOf(fences, terminal)
  local stored = redis.call('HMGET', fences, terminal, FLOOR)
  local own, floor = readFence(stored[1]), readFence(stored[2])
  return {math.max(own[1], floor[1]), math.max(own[2], floor[2]), math.max(own[3], floor[3])}
end

local function storeFence(fences, field, fence)
  redis.call('HSET', fences, field, digits(fence[1]) .. ' ' .. digits(fence[2]) .. ' ' .. digits(fence[3]))
end

-- Raises one number of a terminal's fence. Above the limit, the oldest fence of the account becomes its floor.
local function raiseFence(fences, terminal, kind, instant, terminalLimit)
  local fence = readFence(redis.call('HGET', fences, terminal))
  fence[kind] = math.max(fence[kind], instant)
  storeFence(fences, terminal, fence)
  redis.call('PEXPIRE', fences, math.max(FENCE_MS, redis.call('PTTL', fences), instant - now + FENCE_MS))
  local fields = redis.call('HGETALL', fences)
  if #fields / 2 <= math.max(MAX_FENCES, 2 * terminalLimit) then return end
  local oldest, lowest, newest
  for at = 1, #fields, 2 do
    local other = readFence(fields[at + 1])
    newest = math.max(unpack(other))
    if fields[at] ~= FLOOR and (not oldest or newest < lowest) then oldest, lowest = fields[at], newest end
  end
  local floor = fenceOf(fences, oldest)
  redis.call('HDEL', fences, oldest)
  storeFence(fences, FLOOR, floor)
end

-- The next generation of a terminal: later than each that was granted or outdated, and than all that is known of its
-- logins.
local function nextGeneration(fences, terminal, record, ended)
  local newest = math.max(ended, generationOf(record), answeredAt(record), unpack(fenceOf(fences, terminal)))
  return math.max(now, newest + 1)
end

-- Ms until a lease ends; 0 or less when it is free. If it would last too long, the clock of Redis was set back. It is
-- cut to `duration`. Otherwise the lease of a dead replica would last as long as the jump. A live owner extends its
-- lease.
local function leasedFor(lease, duration)
  local rest = redis.call('PTTL', lease)
  if rest <= LONGEST_LEASE_MS then return rest end
  redis.call('PEXPIRE', lease, duration)
  return tonumber(duration)
end

-- Ms until a cool-down ends; 0 or less when there is none. No broker stored one that is longer than the longest.
local function coolingFor(endsAt)
  local rest = (tonumber(endsAt or 0) or 0) - now
  return rest <= MAX_COOL_DOWN_MS and rest or 0
end

-- Adds a change to the stream of changes, which shows the replicas whether Redis has lost one, and announces it.
-- Returns the id of the change before it, '' for none, and its own id: '1-0/2-0'.
local function announce(changes, channel, text)
  local last = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)[1]
  local change = (last and last[1] or '') .. '/' .. redis.call('XADD', changes, 'MAXLEN', MAX_CHANGES, '*', '', '')
  redis.call('PUBLISH', channel, text .. ' ' .. change)
  return change
end
