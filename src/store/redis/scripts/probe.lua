-- Tries what the scripts need: the clock, `struct`, a write, an announcement. Replicas ignore announcements that they do
-- not understand.
--
-- KEYS[1] probe
-- ARGV[1] announcement channel
-- Returns 1.

clock()
redis.call('SET', KEYS[1], struct.pack('>I6', 1), 'PX', 1000)
redis.call('PUBLISH', ARGV[1], 'probe')
return redis.call('DEL', KEYS[1])
