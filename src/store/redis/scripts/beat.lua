-- Publishes a heartbeat from the server that publishes the announcements of a shard.
--
-- KEYS[1] any key of the shard
-- ARGV[1] channel
-- ARGV[2] text

redis.call('PUBLISH', ARGV[1], ARGV[2])
