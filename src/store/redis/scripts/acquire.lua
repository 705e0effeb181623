-- Grants the lease of a terminal with its next generation.
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
-- Returns {'granted', generation, record or nil, pinned region or nil, epoch ms of the last erasure or nil},
--   {'held', ms until the lease ends}, {'cooling', ms until the cool-down ends, error code} or {'terminal_limit'}.

local owner, duration, terminal, id, limit = unpack(ARGV)
local heldFor = leasedFor(KEYS[1], duration)
-- A client that sends the command again after a lost connection gets its own lease.
if heldFor > 0 and redis.call('GET', KEYS[1]) ~= owner then return {'held', heldFor} end

local failures = redis.call('HMGET', KEYS[5], 'until', 'code')
local coolsFor = coolingFor(failures[1])
if coolsFor > 0 then return {'cooling', coolsFor, failures[2]} end

local record = redis.call('HGET', KEYS[3], terminal)
if expiryOf(record) <= now and full(KEYS[3], limit) then return {'terminal_limit'} end

local generation = nextGeneration(KEYS[2], terminal, record, erasedAt(KEYS[3]))
redis.call('SET', KEYS[1], owner, 'PX', duration)
raiseFence(KEYS[2], terminal, GRANTED, generation, limit)
redis.call('ZADD', KEYS[4], 'XX', now + duration, id)
local account = redis.call('HMGET', KEYS[3], FIELD_REGION, FIELD_ERASED_AT)
return {'granted', digits(generation), record, account[1], account[2]}
