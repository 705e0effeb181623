-- Tries what the scripts need: the clock, `struct`, a write, a stream, an announcement. Replicas ignore announcements
-- that they do not understand.
--
-- KEYS[1] probe
-- ARGV[1] announcement channel
-- Returns 1.

redis.call('SET', KEYS[1], struct.pack('>I6', 1), 'PX', 1000)
redis.call('PUBLISH', ARGV[1], 'probe')
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', '', '')
redis.call('XREVRANGE', KEYS[1], '+', '-')
redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('XLEN', KEYS[1])
return redis.call('DEL', KEYS[1])
