-- Definitions that the scripts share. The loader puts them in front of each script, after the constants of lua-scripts.ts.
--
-- Every script uses the clock of Redis, so the clocks of the replicas need not agree. A record starts with a plain
-- header (see record-codec.ts). Counted from 1, byte 2 is the read flag, bytes 4 to 9 are the generation and bytes 10
-- to 15 the expiry in epoch ms.

-- How long the fence of a logout or of an unsaved generation is kept. `save` refuses older writes.
local FENCE_MS = 3600000

-- Epoch ms.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- 0 when there is no record.
local function generationOf(record)
  return record and struct.unpack('>I6', record, 4) or 0
end

-- 0 when there is no record.
local function expiryOf(record)
  return record and struct.unpack('>I6', record, 10) or 0
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
local function erasedAt(account)
  return tonumber(redis.call('HGET', account, FIELD_ERASED_AT) or 0)
end

-- All digits of a generation. By default, Lua prints 14 digits; epoch ms have 13.
local function digits(generation)
  return string.format('%.0f', generation)
end

local function coolDownMs(failures)
  return COOL_DOWNS_MS[math.min(failures, #COOL_DOWNS_MS)]
end
