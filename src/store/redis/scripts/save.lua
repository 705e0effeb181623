-- Writes a token, its due time and its directory entry, and releases the lease.
--
-- The token of the login that was sent later is kept. Only if the other login was answered before that, the vendor
-- surely received it first. Otherwise the kept token is suspect: the vendor may have ended it. It is due at once.
--
-- KEYS[1] lease
-- KEYS[2] fences of the account
-- KEYS[3] account
-- KEYS[4] due queue
-- KEYS[5] failures of the account
-- KEYS[6] changes
-- ARGV[1] owner; '' when the token is written without a lease
-- ARGV[2] generation: the login was sent at this time or later
-- ARGV[3] terminal
-- ARGV[4] subject id
-- ARGV[5] record; its header alone for a login whose token goes nowhere
-- ARGV[6] ms until the token is due
-- ARGV[7] announcement channel
-- ARGV[8] maximum number of terminals per account
-- ARGV[9] region
-- ARGV[10] directory entry, for an account that has none
-- ARGV[11] epoch ms at which the session was issued that caused a login without a lease; '' otherwise
-- Returns {'saved' or 'suspect', previous directory entry or '', the change or ''}, {'terminal_limit'}, {'superseded'}
--   when the token of a later login is stored, {'outdated'} when a logout or an erasure is stored that was later than
--   the login, or the sessions of the account were ended after the session was issued, or when the write is so late
--   that its fence may have expired. {'lease_lost'} when only a newer lease was granted. It refuses only the owners before it: a token that is
--   written without a lease stays until the owner of that lease replaces it.
-- The same write sent twice is 'saved' twice.

local owner, generation, terminal, id, record, dueIn, channel, limit, region, entry, issuedAt = unpack(ARGV)
local stored = redis.call('HGET', KEYS[3], terminal)
if redis.call('GET', KEYS[1]) == owner then redis.call('DEL', KEYS[1]) end

local previous = directoryOf(KEYS[3])
if isSameLogin(stored, record) then return {'saved', previous or '', ''} end
local sent, answered = tonumber(generation), answeredAt(record)
local storedSent, storedAnswered = generationOf(stored), answeredAt(stored)

local isLeased = owner ~= ''
local fence = fenceOf(KEYS[2], terminal)

-- The token is not written, but its login may have ended the token of a later one at the vendor.
local function drop(outcome)
  if storedSent > answered then return {outcome} end
  raiseFence(KEYS[2], terminal, DROPPED, answered, limit)
  if storedSent >= sent then
    redis.call('HSET', KEYS[3], terminal, flagged(stored, 3))
    redis.call('ZADD', KEYS[4], 'XX', 'LT', now, id)
    announce(KEYS[6], channel, 'suspected ' .. id .. ' ' .. digits(storedSent))
  end
  return {outcome}
end

if #record == HEADER_LENGTH then return drop('outdated') end
local ended = sessionsEndedAt(KEYS[3])
if issuedAt ~= '' and ended > 0 and ended >= tonumber(issuedAt) then return drop('outdated') end
if math.max(fence[OUTDATED], ended) >= sent or (isLeased and now - sent >= FENCE_MS) then return drop('outdated') end
if storedSent >= sent then return drop('superseded') end
if isLeased and fence[GRANTED] > sent then return drop('lease_lost') end
if isLeased and expiryOf(stored) <= now and full(KEYS[3], limit) then return drop('terminal_limit') end

local isSuspect = math.max(storedAnswered, fence[DROPPED]) >= sent
redis.call('HSET', KEYS[3], terminal, isSuspect and flagged(record, 3) or record)
if not previous then redis.call('HSET', KEYS[3], FIELD_DIRECTORY, entry) end
redis.call('HSETNX', KEYS[3], FIELD_REGION, region)
redis.call('PERSIST', KEYS[3])
redis.call('ZADD', KEYS[4], isSuspect and now or now + dueIn, id)
if isSuspect then
  raiseFence(KEYS[2], terminal, DROPPED, storedAnswered, limit)
elseif math.max(unpack(fence)) <= sent then
  redis.call('HDEL', KEYS[2], terminal)
end
redis.call('DEL', KEYS[5])
local change = announce(KEYS[6], channel, 'saved ' .. id .. ' ' .. generation)
return {isSuspect and 'suspect' or 'saved', previous or '', change}
