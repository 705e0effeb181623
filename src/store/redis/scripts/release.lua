-- Gives a lease back without a token.
--
-- KEYS[1] lease
-- KEYS[2] due queue
-- KEYS[3] failures of the account
-- ARGV[1] owner
-- ARGV[2] subject id
-- ARGV[3] ms until the subject is due; '' leaves its due time
-- ARGV[4] announcement channel
-- ARGV[5] announcement; '' for none
-- ARGV[6] error code that starts or lengthens the account's cool-down; '' for none. A failure during a cool-down is not
--   counted: the login began before it.
-- ARGV[7] ms that the cool-down lasts at least
-- Returns 1, or 0 when the owner has lost the lease.

local owner, id, dueIn, channel, announcement, code, wait = unpack(ARGV)
if redis.call('GET', KEYS[1]) ~= owner then return 0 end
redis.call('DEL', KEYS[1])
if dueIn ~= '' then redis.call('ZADD', KEYS[2], 'XX', now + dueIn, id) end
if code ~= '' then
  local rest = coolingFor(redis.call('HGET', KEYS[3], 'until'))
  local coolsFor = tonumber(wait)
  if rest <= 0 then
    local failures = redis.call('HINCRBY', KEYS[3], 'count', 1)
    coolsFor = math.max(coolsFor, COOL_DOWNS_MS[math.min(failures, #COOL_DOWNS_MS)])
  end
  if coolsFor >= rest then redis.call('HSET', KEYS[3], 'until', now + coolsFor, 'code', code) end
  redis.call('PEXPIRE', KEYS[3], math.max(FAILURE_MEMORY_MS, coolsFor, rest))
end
if announcement ~= '' then redis.call('PUBLISH', channel, announcement) end
return 1
