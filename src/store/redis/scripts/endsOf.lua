-- Reads when tokens end that an app has read. Changes nothing.
--
-- KEYS account of each token
-- ARGV terminal of each token
-- Returns for each token epoch ms, or 0 when it is not stored, or no app has read it.

local ends = {}
for at, account in ipairs(KEYS) do
  local record = redis.call('HGET', account, ARGV[at])
  table.insert(ends, isRead(record) and expiryOf(record) or 0)
end
return ends
