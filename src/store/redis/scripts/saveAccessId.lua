-- Writes the directory entry of an account without a token, and releases the lease.
--
-- KEYS[1] lease
-- KEYS[2] fences of the account
-- KEYS[3] account
-- KEYS[4] failures of the account
-- ARGV[1] owner
-- ARGV[2] generation
-- ARGV[3] terminal
-- ARGV[4] region
-- ARGV[5] directory entry
-- Returns {'saved', previous directory entry or nil}, or {'outdated'} when a newer generation, a logout or an erasure is
--   stored, or when the write is so late that its fence may have expired.
-- The same write sent twice is 'saved' twice.

local owner, generation, terminal, region, entry = unpack(ARGV)
local now = clock()
if redis.call('GET', KEYS[1]) == owner then redis.call('DEL', KEYS[1]) end

local own, current = tonumber(generation), generationOf(redis.call('HGET', KEYS[3], terminal), now)
local newest = math.max(current, fenceOf(KEYS[2], terminal, now), erasedAt(KEYS[3], now))
if newest > own or now - own >= FENCE_MS then return {'outdated'} end

local previous = redis.call('HGET', KEYS[3], FIELD_DIRECTORY)
redis.call('HSET', KEYS[3], FIELD_DIRECTORY, entry)
redis.call('HSETNX', KEYS[3], FIELD_REGION, region)
redis.call('PERSIST', KEYS[3])
redis.call('DEL', KEYS[4])
return {'saved', previous}
