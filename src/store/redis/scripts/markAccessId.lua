-- Marks a directory entry: the key of its accessId leads to the account.
--
-- KEYS[1] account
-- ARGV[1] generation of the token that was saved with the entry
-- ARGV[2] mark
-- ARGV[3] directory entry as it was saved; another one stays unmarked
-- Returns 1, or 0 when the account was erased after that generation.

local generation, mark, saved = unpack(ARGV)
if erasedAt(KEYS[1]) >= tonumber(generation) then return 0 end
if redis.call('HGET', KEYS[1], FIELD_DIRECTORY) == saved then
  redis.call('HSET', KEYS[1], FIELD_DIRECTORY, mark .. string.sub(saved, MARK_LENGTH + 1))
end
return 1
