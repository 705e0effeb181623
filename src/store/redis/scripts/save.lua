-- Writes a token, its due time and its directory entry, and releases the lease.
--
-- KEYS[1] lease
-- KEYS[2] fences of the account
-- KEYS[3] account
-- KEYS[4] due queue
-- KEYS[5] failures of the account
-- ARGV[1] owner; '' when the token is written back without a lease
-- ARGV[2] generation
-- ARGV[3] terminal
-- ARGV[4] subject id
-- ARGV[5] record
-- ARGV[6] ms until the token is due
-- ARGV[7] announcement channel
-- ARGV[8] maximum number of terminals per account
-- ARGV[9] region
-- ARGV[10] directory entry, for an account that has none
-- Returns {'saved', previous directory entry or nil}, {'terminal_limit'}, or {'outdated'} when a newer generation, a
--   logout or an erasure is stored, or when the write is so late that its fence may have expired. {'lease_lost'} when only
--   a newer lease was granted. It refuses only the owners before it: a token that is written back stays until the owner of
--   that lease replaces it.
-- The same write sent twice is 'saved' twice.

local owner, generation, terminal, id, record, dueIn, channel, limit, region, entry = unpack(ARGV)
local now = clock()
local stored = redis.call('HGET', KEYS[3], terminal)
if redis.call('GET', KEYS[1]) == owner then redis.call('DEL', KEYS[1]) end

local previous = directoryOf(KEYS[3])
local own, current = tonumber(generation), generationOf(stored, now)
if current == own then return {'saved', previous} end

local isLeased = owner ~= ''
local fence, logoutFence = fenceOf(KEYS[2], terminal, now)
local newest = math.max(current, logoutFence, erasedAt(KEYS[3], now))
if newest > own or (isLeased and now - own >= FENCE_MS) then return {'outdated'} end
if isLeased and fence > own then return {'lease_lost'} end
if isLeased and expiryOf(stored) <= now and full(KEYS[3], limit, now) then return {'terminal_limit'} end

redis.call('HSET', KEYS[3], terminal, record)
if not previous then redis.call('HSET', KEYS[3], FIELD_DIRECTORY, entry) end
redis.call('HSETNX', KEYS[3], FIELD_REGION, region)
redis.call('PERSIST', KEYS[3])
redis.call('ZADD', KEYS[4], now + dueIn, id)
if fence <= own then redis.call('HDEL', KEYS[2], terminal) end
redis.call('DEL', KEYS[5])
redis.call('PUBLISH', channel, 'saved ' .. id .. ' ' .. generation)
return {'saved', previous}
