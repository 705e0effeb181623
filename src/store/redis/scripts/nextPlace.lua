-- Reads when the next place in the queue of vendor logins is free. Changes nothing.
--
-- KEYS[1] login queue
-- Returns ms from now, rounded: negative after a pause. Nil when no login has used the queue recently.

local nextPlace = tonumber(redis.call('HGET', KEYS[1], 'next') or nil)
if not nextPlace then return nil end
return math.floor(nextPlace - now + 0.5)
