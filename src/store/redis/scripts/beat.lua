-- Publishes a heartbeat from the server that publishes the announcements of a shard, and tells whether Redis still has
-- the last change that the replica knows of.
--
-- KEYS[1] changes of the shard
-- ARGV[1] channel
-- ARGV[2] text
-- ARGV[3] id of the last change that the replica knows of; '' for none
-- Returns {epoch ms, id of the last change or '', 'same', 'lost' or 'went_back'}. 'lost': Redis has no change from
--   before that time. 'went_back': it has older changes, but not this one.

local channel, text, known = unpack(ARGV)
redis.call('PUBLISH', channel, text)
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local state = 'same'
if known ~= '' and #redis.call('XRANGE', KEYS[1], known, known) == 0 then
  if #redis.call('XRANGE', KEYS[1], '-', '(' .. known, 'COUNT', 1) > 0 then
    state = 'went_back'
  -- A full stream may have dropped it.
  elseif redis.call('XLEN', KEYS[1]) < MAX_CHANGES then
    state = 'lost'
  end
end
return {digits(now), last and last[1] or '', state}
