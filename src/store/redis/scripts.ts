/**
 * The store's atomic steps. Every script reads the clock of Redis, so that replicas need not agree on the time.
 * A record begins with a plain header (see record-codec.ts): its generation is the 48-bit integer at byte 4, its expiry
 * the one at byte 10 (counted from 1).
 */

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

const GENERATION_OF = `
local function generationOf(record)
  return record and struct.unpack('>I6', record, 4) or 0
end
`;

/**
 * KEYS lease, fence, account, due · ARGV owner, durationMs, terminal, id, fenceMs
 * Returns {1, generation, record or nil} or {0, ms the lease is still held}.
 */
const acquire = `${NOW}${GENERATION_OF}
local heldFor = redis.call('PTTL', KEYS[1])
if heldFor > 0 and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0, heldFor} end
local record = redis.call('HGET', KEYS[3], ARGV[3])
local fence = tonumber(redis.call('GET', KEYS[2]) or 0)
local generation = math.max(now, fence + 1, generationOf(record) + 1)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', generation), 'PX', ARGV[5])
redis.call('ZADD', KEYS[4], 'XX', now + ARGV[2], ARGV[4])
return {1, string.format('%.0f', generation), record}
`;

/**
 * KEYS lease, due · ARGV owner, durationMs, id
 * Returns 1, or 0 when the lease is no longer the owner's.
 */
const extend = `${NOW}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], 'XX', now + ARGV[2], ARGV[3])
return 1
`;

/**
 * KEYS lease, fence, account, due · ARGV owner, generation, terminal, id, record, expiresInMs, dueInMs, fenceMs, channel
 * Returns 1, or 0 when something newer stands: a generation, a logout, or one so old that its fence may be gone.
 */
const save = `${NOW}${GENERATION_OF}
local generation = tonumber(ARGV[2])
local current = generationOf(redis.call('HGET', KEYS[3], ARGV[3]))
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
if current == generation then return 1 end
local fence = tonumber(redis.call('GET', KEYS[2]) or 0)
if current > generation or fence > generation or now - generation >= tonumber(ARGV[8]) then return 0 end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[5])
local ttl = tonumber(ARGV[6])
if redis.call('PTTL', KEYS[3]) < ttl then redis.call('PEXPIRE', KEYS[3], ttl) end
redis.call('ZADD', KEYS[4], now + ARGV[7], ARGV[4])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[9], 'saved ' .. ARGV[4] .. ' ' .. ARGV[2])
return 1
`;

/**
 * KEYS lease, due · ARGV owner, id, dueInMs or '', channel, announcement or ''
 * Returns 1, or 0 when the lease was no longer the owner's.
 */
const release = `${NOW}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], 'XX', now + ARGV[3], ARGV[2]) end
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1
`;

/**
 * KEYS fence, account, due · ARGV terminal, id, fenceMs, channel
 * Outdates every generation handed out so far; the lease stays with whoever is logging in, so that nobody else does.
 */
const remove = `${NOW}${GENERATION_OF}
local record = redis.call('HGET', KEYS[2], ARGV[1])
local fence = tonumber(redis.call('GET', KEYS[1]) or 0)
local outdated = string.format('%.0f', math.max(now, fence + 1, generationOf(record) + 1))
redis.call('SET', KEYS[1], outdated, 'PX', ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('PUBLISH', ARGV[4], 'removed ' .. ARGV[2] .. ' ' .. outdated)
`;

/** KEYS account · ARGV terminal, generation. Sets the header's read flag (byte 2) of that generation. */
const markRead = `${GENERATION_OF}
local record = redis.call('HGET', KEYS[1], ARGV[1])
if record and generationOf(record) == tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], string.sub(record, 1, 1) .. string.char(1) .. string.sub(record, 3))
end
`;

/**
 * KEYS due · ARGV limit, visibilityMs
 * Returns {ms until the next entry is due or -1, id, id, …}.
 */
const claimDue = `${NOW}
local claimed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(claimed) do redis.call('ZADD', KEYS[1], now + ARGV[2], id) end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
table.insert(claimed, 1, head[2] and math.max(0, math.ceil(head[2] - now)) or -1)
return claimed
`;

/** KEYS due · ARGV dueInMs, id */
const schedule = `${NOW}
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[2])
`;

/** KEYS account, due · ARGV terminal, id. Leaves a record that still lives as it is. */
const sweep = `${NOW}
local record = redis.call('HGET', KEYS[1], ARGV[1])
if record and struct.unpack('>I6', record, 10) > now then return end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2])
`;

export const SCRIPTS = {
  acquire: { numberOfKeys: 4, lua: acquire },
  extend: { numberOfKeys: 2, lua: extend },
  save: { numberOfKeys: 4, lua: save },
  release: { numberOfKeys: 2, lua: release },
  remove: { numberOfKeys: 3, lua: remove },
  markRead: { numberOfKeys: 1, lua: markRead },
  claimDue: { numberOfKeys: 1, lua: claimDue },
  schedule: { numberOfKeys: 1, lua: schedule },
  sweep: { numberOfKeys: 2, lua: sweep },
} as const;

export type ScriptName = keyof typeof SCRIPTS;
