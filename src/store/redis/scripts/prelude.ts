import { coolDownMs } from '../../../token/renewal-timing.ts';
import { DIGEST_LENGTH } from '../../../token/subject.ts';
import { ACCOUNT_FIELDS } from '../keys.ts';

/**
 * What the scripts share. Every script reads the clock of Redis, so that replicas need not agree on the time. A record
 * begins with a plain header (see record-codec.ts): its generation is the 48-bit integer at byte 4, its expiry the one
 * at byte 10, counted from 1.
 */

/** How long a logout, or a generation nobody saved, is remembered; a write older than that is refused as such. */
export const FENCE_MS = 3_600_000;

/** Epoch ms as the local `now`. */
export const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** `generationOf(record)` and `expiryOf(record)` are 0 for none; `lives(record)` says whether it has not expired. */
export const RECORD = `
local function generationOf(record)
  return record and struct.unpack('>I6', record, 4) or 0
end
local function expiryOf(record)
  return record and struct.unpack('>I6', record, 10) or 0
end
local function lives(record)
  return expiryOf(record) > now
end
`;

/** `full(account, limit)`: whether the account has as many terminals with a living token as it may. */
export const ACCOUNT = `
local function full(account, limit)
  local fields = redis.call('HGETALL', account)
  local terminals = 0
  for at = 1, #fields, 2 do
    if #fields[at] == ${DIGEST_LENGTH} and lives(fields[at + 1]) then terminals = terminals + 1 end
  end
  return terminals >= tonumber(limit)
end
local function erasedAt(account)
  return tonumber(redis.call('HGET', account, '${ACCOUNT_FIELDS.erasedAt}') or 0)
end
`;

/** A generation is printed whole: Lua would write it as 1.8e+12. */
export const PRINT = `
local function print(generation)
  return string.format('%.0f', generation)
end
`;

/** `coolDownMs(failures)` as token/cool-down.ts has it. */
export const COOL_DOWN = `
local coolDowns = {${Array.from({ length: 8 }, (_, index) => coolDownMs(index + 1)).join(', ')}}
local function coolDownMs(failures)
  return coolDowns[math.min(failures, #coolDowns)]
end
`;
