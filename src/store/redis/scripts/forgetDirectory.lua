-- Deletes the directory entry of an erased account. Only an erased account expires: one that has logged in since does
-- not.
--
-- KEYS[1] account

if redis.call('PTTL', KEYS[1]) > 0 then redis.call('HDEL', KEYS[1], FIELD_DIRECTORY) end
