import { FAILURE_MEMORY_MS } from '../../../token/renewal-timing.ts';
import { ACCOUNT_FIELDS } from '../keys.ts';
import { MARK_LENGTH } from '../records/directory-codec.ts';
import { ACCOUNT, COOL_DOWN, FENCE_MS, NOW, PRINT, RECORD } from './prelude.ts';

/** How far an entry steps back that cannot be claimed, as what is stored for it is none of ours. */
const STEP_BACK_MS = 60_000;

/**
 * KEYS lease, fence, account, due, failures · ARGV owner, durationMs, terminal, id, terminal limit
 * Returns {'granted', generation, record or nil, pinned region or nil, instant of the last erasure or nil}, {'held', ms it still is}, {'terminal_limit'},
 * {'cooling', ms it still is, code}.
 */
const acquire = `${NOW}${RECORD}${ACCOUNT}${PRINT}
local heldFor = redis.call('PTTL', KEYS[1])
if heldFor > 0 and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'held', heldFor} end
local failures = redis.call('HMGET', KEYS[5], 'until', 'code')
local coolingFor = tonumber(failures[1] or 0) - now
if coolingFor > 0 then return {'cooling', coolingFor, failures[2]} end
local record = redis.call('HGET', KEYS[3], ARGV[3])
if not lives(record) and full(KEYS[3], ARGV[5]) then return {'terminal_limit'} end
local fence = tonumber(redis.call('GET', KEYS[2]) or 0)
local generation = math.max(now, fence + 1, generationOf(record) + 1, erasedAt(KEYS[3]) + 1)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], print(generation), 'PX', ${FENCE_MS})
redis.call('ZADD', KEYS[4], 'XX', now + ARGV[2], ARGV[4])
local account = redis.call('HMGET', KEYS[3], '${ACCOUNT_FIELDS.region}', '${ACCOUNT_FIELDS.erasedAt}')
return {'granted', print(generation), record, account[1], account[2]}
`;

/**
 * KEYS due, then lease, fence, account, failures of each · ARGV owner, longestMs, shortestMs, what is sealed begins with, then terminal, id of each
 * The leases of subjects that are due, all of one shard, for half of what their tokens have left. What is left of an
 * expired token goes; what somebody else is at, or what cools down, is due when that is over; what fails steps back alone.
 * Returns {id, generation, durationMs, record, pinned region or nil, instant of the last erasure or nil, mark of the
 * accessId or nil} for each that was granted, no mark where the directory entry is not sealed as it would be now; and {id}
 * for each that failed.
 */
const leaseDue = `${NOW}${RECORD}${PRINT}
local granted = {}
local function leaseAt(at)
  local lease, fence, account, failures = KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3]
  local terminal, id = ARGV[at / 2 + 4], ARGV[at / 2 + 5]
  local known = redis.call('HMGET', account, terminal, '${ACCOUNT_FIELDS.region}', '${ACCOUNT_FIELDS.erasedAt}', '${ACCOUNT_FIELDS.directory}')
  local record = known[1]
  if not lives(record) then
    redis.call('HDEL', account, terminal)
    redis.call('ZREM', KEYS[1], id)
  else
    local busyFor = math.max(redis.call('PTTL', lease), tonumber(redis.call('HGET', failures, 'until') or 0) - now)
    if busyFor > 0 then
      redis.call('ZADD', KEYS[1], 'XX', now + busyFor, id)
    else
      local newest = math.max(tonumber(redis.call('GET', fence) or 0), generationOf(record), tonumber(known[3] or 0))
      local generation = print(math.max(now, newest + 1))
      local duration = math.floor(math.min(ARGV[2], math.max(ARGV[3], (expiryOf(record) - now) / 2)))
      redis.call('SET', lease, ARGV[1], 'PX', duration)
      redis.call('SET', fence, generation, 'PX', ${FENCE_MS})
      redis.call('ZADD', KEYS[1], 'XX', now + duration, id)
      local entry = known[4] or ''
      local stands = string.sub(entry, ${MARK_LENGTH + 1}, ${MARK_LENGTH} + #ARGV[4]) == ARGV[4]
      local mark = stands and string.sub(entry, 1, ${MARK_LENGTH})
      table.insert(granted, {id, generation, duration, record, known[2], known[3], mark})
    end
  end
end
for at = 2, #KEYS, 4 do
  if not pcall(leaseAt, at) then
    redis.call('ZADD', KEYS[1], 'XX', now + ${STEP_BACK_MS}, ARGV[at / 2 + 5])
    table.insert(granted, {ARGV[at / 2 + 5]})
  end
end
return granted
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
 * KEYS lease, fence, account, due, failures
 * ARGV owner, or '' where a record is written back, generation, terminal, id, record, dueInMs, channel, terminal limit, region, directory entry or '' where it stands
 * Returns {'saved', directory entry so far or nil}, {'terminal_limit'}, or {'outdated'} when something newer stands: a
 * generation, a logout, an erasure, or the write is so old that its fence may be gone. A write repeated is 'saved'.
 */
const save = `${NOW}${RECORD}${ACCOUNT}
local generation = tonumber(ARGV[2])
local record = redis.call('HGET', KEYS[3], ARGV[3])
local current = generationOf(record)
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
local entry = redis.call('HGET', KEYS[3], '${ACCOUNT_FIELDS.directory}')
if current == generation then return {'saved', entry} end
local fence = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), erasedAt(KEYS[3]))
if current > generation or fence > generation or (ARGV[1] ~= '' and now - generation >= ${FENCE_MS}) then return {'outdated'} end
if ARGV[1] ~= '' and not lives(record) and full(KEYS[3], ARGV[8]) then return {'terminal_limit'} end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[5])
if ARGV[10] ~= '' then redis.call('HSET', KEYS[3], '${ACCOUNT_FIELDS.directory}', ARGV[10]) end
redis.call('HSETNX', KEYS[3], '${ACCOUNT_FIELDS.region}', ARGV[9])
redis.call('PERSIST', KEYS[3])
redis.call('ZADD', KEYS[4], now + ARGV[6], ARGV[4])
redis.call('DEL', KEYS[2], KEYS[5])
redis.call('PUBLISH', ARGV[7], 'saved ' .. ARGV[4] .. ' ' .. ARGV[2])
return {'saved', entry}
`;

/**
 * KEYS lease, due, failures · ARGV owner, id, dueInMs or '', channel, announcement or '', code that cools down or ''
 * Returns 1, or 0 when the lease was no longer the owner's.
 */
const release = `${NOW}${COOL_DOWN}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], 'XX', now + ARGV[3], ARGV[2]) end
if ARGV[6] ~= '' then
  local count = redis.call('HINCRBY', KEYS[3], 'count', 1)
  redis.call('HSET', KEYS[3], 'until', now + coolDownMs(count), 'code', ARGV[6])
  redis.call('PEXPIRE', KEYS[3], ${FAILURE_MEMORY_MS})
end
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1
`;

export const LEASE_SCRIPTS = {
  acquire: { numberOfKeys: 5, lua: acquire },
  leaseDue: { lua: leaseDue },
  extend: { numberOfKeys: 2, lua: extend },
  save: { numberOfKeys: 5, lua: save },
  release: { numberOfKeys: 3, lua: release },
} as const;
