-- Tries what the scripts need: the clock, `struct`, each command, an announcement. Replicas ignore announcements that they
-- do not understand. If a command fails, the key expires.
--
-- KEYS[1] probe
-- ARGV[1] announcement channel
-- Returns 1.

redis.call('PUBLISH', ARGV[1], 'probe')

redis.call('SET', KEYS[1], struct.pack('>I6', 1), 'PX', 1000)
redis.call('GET', KEYS[1])
redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('DEL', KEYS[1])

redis.call('HSET', KEYS[1], 'a', 1)
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('HSETNX', KEYS[1], 'b', 1)
redis.call('HINCRBY', KEYS[1], 'b', 1)
redis.call('HGET', KEYS[1], 'a')
redis.call('HMGET', KEYS[1], 'a', 'b')
redis.call('HGETALL', KEYS[1])
redis.call('HLEN', KEYS[1])
redis.call('HRANDFIELD', KEYS[1])
redis.call('HDEL', KEYS[1], 'b')
redis.call('PERSIST', KEYS[1])
redis.call('DEL', KEYS[1])

redis.call('ZADD', KEYS[1], 1, 'a')
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('ZRANGE', KEYS[1], 0, -1)
redis.call('ZRANGEBYSCORE', KEYS[1], 1, 1)
redis.call('ZCOUNT', KEYS[1], 1, 1)
redis.call('ZREM', KEYS[1], 'a')

redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', '', '')
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('XREVRANGE', KEYS[1], '+', '-')
redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('XLEN', KEYS[1])
return redis.call('DEL', KEYS[1])
