-- Replaces a sealed text, unless the stored one has changed: with the same text sealed under another key, or with a
-- newer directory entry.
--
-- Each text is sealed with a random IV, so equal bytes are the same text of the same generation.
--
-- KEYS[1] hash
-- ARGV[1] field
-- ARGV[2] number of plain bytes in front of the sealed text; they stay as they are, with the read flag
-- ARGV[3] sealed text as it was read
-- ARGV[4] the text that replaces it, sealed
-- Returns 1, or 0 when another text is stored.

local field, headLength, sealed, resealed = unpack(ARGV)
local stored = redis.call('HGET', KEYS[1], field)
if not stored or string.sub(stored, headLength + 1) ~= sealed then return 0 end
redis.call('HSET', KEYS[1], field, string.sub(stored, 1, headLength) .. resealed)
return 1
