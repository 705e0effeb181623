-- Writes the directory entry of an account without a token, and releases the lease.
--
-- An accessId belongs to the account. So only an erasure outdates it, and no logout, newer lease or newer token.
--
-- KEYS[1] lease
-- KEYS[2] account
-- KEYS[3] failures of the account
-- ARGV[1] owner
-- ARGV[2] generation
-- ARGV[3] region
-- ARGV[4] directory entry, for an account that has none
-- Returns {'saved', previous directory entry or ''}, or {'outdated'} when a later erasure is stored.
-- The same write sent twice is 'saved' twice.

local owner, generation, region, entry = unpack(ARGV)
if redis.call('GET', KEYS[1]) == owner then redis.call('DEL', KEYS[1]) end
if timeIn(KEYS[2], FIELD_ERASED_AT) > tonumber(generation) then return {'outdated'} end

local previous = directoryOf(KEYS[2])
if not previous then redis.call('HSET', KEYS[2], FIELD_DIRECTORY, entry) end
redis.call('HSETNX', KEYS[2], FIELD_REGION, region)
redis.call('PERSIST', KEYS[2])
redis.call('DEL', KEYS[3])
return {'saved', previous or ''}
