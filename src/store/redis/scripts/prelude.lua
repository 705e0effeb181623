-- Definitions that the scripts share. The loader puts them in front of each script, after the constants of lua-scripts.ts.
--
-- Every script uses the clock of Redis, so the clocks of the replicas need not agree. A record starts with a plain
-- header (see record-codec.ts). Counted from 1, byte 2 is the read flag, bytes 4 to 9 are the generation and bytes 10
-- to 15 the expiry in epoch ms.

-- How long the fence of a logout or of an unsaved generation is kept. `save` refuses older writes.
local FENCE_MS = 3600000

-- Maximum number of fences of an account: this many, or two per terminal that the account may have.
local MAX_FENCES = 64

-- The field in place of the oldest fences of an account. The fields of terminals are longer.
local FLOOR = 'floor'

-- Stands in front of the fence of a lease. A fence without it may come from a logout. Replicas that do not know it read
-- the same number, and write fences without it.
local LEASED = '+'

-- Epoch ms.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A generation or a time that Redis holds; 0 when there is none, or one that is too far ahead of the clock: no broker
-- stored it, and a later generation would have to exceed it.
local function instantOf(stored, now)
  local instant = tonumber(stored or 0) or 0
  return instant <= now + MAX_LEAD_MS and instant or 0
end

-- 0 when there is no record. Bytes that are too short are none.
local function headerOf(record, at)
  return record and #record >= HEADER_LENGTH and struct.unpack('>I6', record, at) or 0
end

local function generationOf(record, now)
  return instantOf(headerOf(record, 4), now)
end

local function isRead(record)
  return record and string.byte(record, 2) == 1
end

local function expiryOf(record)
  return headerOf(record, 10)
end

-- Whether the account has its maximum number of terminals with an unexpired token.
local function full(account, limit, now)
  local fields = redis.call('HGETALL', account)
  local terminals = 0
  for at = 1, #fields, 2 do
    if #fields[at] == DIGEST_LENGTH and expiryOf(fields[at + 1]) > now then terminals = terminals + 1 end
  end
  return terminals >= tonumber(limit)
end

-- Epoch ms of the account's last erasure; 0 when there was none.
local function erasedAt(account, now)
  return instantOf(redis.call('HGET', account, FIELD_ERASED_AT), now)
end

-- The directory entry of an account; false when there is none. Only an erased account expires, unless it has logged in
-- since. Its entry is left for the erasure, which needs it to delete the accessIds.
local function directoryOf(account)
  return redis.call('PTTL', account) <= 0 and redis.call('HGET', account, FIELD_DIRECTORY)
end

-- All digits of a generation. By default, Lua prints 14 digits; epoch ms have 13.
local function digits(generation)
  return string.format('%.0f', generation)
end

local function isOfLease(fence)
  return string.sub(fence, 1, 1) == LEASED
end

-- Returns the newest generation of the terminal that was granted or outdated, and the newest that a logout may have
-- outdated; 0 when there is none. Where the terminal's own fence is gone, the floor of the account is at least as high.
local function fenceOf(fences, terminal, now)
  local stored = redis.call('HMGET', fences, terminal, FLOOR)
  local own, floor = instantOf(stored[1], now), instantOf(stored[2], now)
  local fence = math.max(own, floor)
  return fence, stored[1] and isOfLease(stored[1]) and floor or fence
end

-- Stores the fence of a terminal. Above the limit, the oldest fence of the account becomes its floor.
local function raiseFence(fences, terminal, generation, terminalLimit, now)
  redis.call('HSET', fences, terminal, generation)
  redis.call('PEXPIRE', fences, FENCE_MS)
  local fields = redis.call('HGETALL', fences)
  if #fields / 2 <= math.max(MAX_FENCES, 2 * terminalLimit) then return end
  local oldest, lowest
  for at = 1, #fields, 2 do
    local fence = instantOf(fields[at + 1], now)
    if fields[at] ~= FLOOR and (not oldest or fence < lowest) then oldest, lowest = fields[at], fence end
  end
  redis.call('HDEL', fences, oldest)
  redis.call('HSET', fences, FLOOR, digits(math.max(lowest, fenceOf(fences, FLOOR, now))))
end

-- Stores the fence of a lease. A terminal has one fence. So after a logout, the fences of its leases count as those of a
-- logout until a token is saved.
local function raiseLeaseFence(fences, terminal, generation, terminalLimit, now)
  local stored = redis.call('HGET', fences, terminal)
  local mark = (not stored or isOfLease(stored)) and LEASED or ''
  raiseFence(fences, terminal, mark .. generation, terminalLimit, now)
end

-- Ms until a lease ends; 0 or less when it is free. If it would last too long, the clock of Redis was set back. It is cut
-- to `duration`. Otherwise the lease of a dead replica would last as long as the jump. A live owner extends its lease.
local function leasedFor(lease, duration)
  local rest = redis.call('PTTL', lease)
  if rest <= LONGEST_LEASE_MS then return rest end
  redis.call('PEXPIRE', lease, duration)
  return tonumber(duration)
end

local function coolDownMs(failures)
  return COOL_DOWNS_MS[math.min(failures, #COOL_DOWNS_MS)]
end

-- Ms until a cool-down ends; 0 or less when there is none. No broker stored one that is longer than the longest.
local function coolingFor(endsAt, now)
  local rest = (tonumber(endsAt or 0) or 0) - now
  return rest <= MAX_COOL_DOWN_MS and rest or 0
end
