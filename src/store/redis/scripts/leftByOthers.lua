-- Reads the summaries of the other replicas. Changes nothing.
--
-- KEYS[1] replicas
-- ARGV[1] id of the replica that asks
-- Returns {id, ms since it was left, summary, …}. Nothing if the hash has more fields than replicas write, and no id
--   or summary that is longer than theirs.

local answer = {}
if redis.call('HLEN', KEYS[1]) > MAX_REPLICAS then return answer end
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local left = fields[at + 1]
  local isLong = math.max(#fields[at], #left) > MAX_SUMMARY_BYTES
  local instant, summary = string.match(isLong and '' or left, '^(%d+) (.*)$')
  if instant and fields[at] ~= ARGV[1] then
    table.insert(answer, fields[at])
    table.insert(answer, math.max(0, now - tonumber(instant)))
    table.insert(answer, summary)
  end
end
return answer
