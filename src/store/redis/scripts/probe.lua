-- Tries what the scripts need: the clock, `struct`, each command, an announcement. Replicas ignore announcements that they
-- do not understand. If a command fails, the key expires.
--
-- KEYS[1] probe
-- KEYS[2…] probes of other shards, where the scripts use keys of several shards
-- ARGV[1] announcement channel
-- Returns for each command that fails its name and the error.

local failed = {}

local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err then
    table.insert(failed, command)
    table.insert(failed, answer.err)
  end
end

try('SET', KEYS[1], struct.pack('>I6', 1), 'PX', 1000)
try('GET', KEYS[1])
try('PTTL', KEYS[1])
try('PEXPIRE', KEYS[1], 1000)
try('DEL', KEYS[1])

try('HSET', KEYS[1], 'a', 1)
try('PEXPIRE', KEYS[1], 1000)
try('HSETNX', KEYS[1], 'b', 1)
try('HINCRBY', KEYS[1], 'b', 1)
try('HGET', KEYS[1], 'a')
try('HMGET', KEYS[1], 'a', 'b')
try('HGETALL', KEYS[1])
try('HLEN', KEYS[1])
try('HRANDFIELD', KEYS[1])
try('HDEL', KEYS[1], 'b')
try('PERSIST', KEYS[1])
try('PEXPIRE', KEYS[1], 1000)
try('DEL', KEYS[1])

try('ZADD', KEYS[1], 1, 'a')
try('PEXPIRE', KEYS[1], 1000)
try('ZRANGE', KEYS[1], 0, -1)
try('ZRANGEBYSCORE', KEYS[1], 1, 1)
try('ZCOUNT', KEYS[1], 1, 1)
try('ZREM', KEYS[1], 'a')

try('XADD', KEYS[1], 'MAXLEN', 1, '*', '', '')
try('PEXPIRE', KEYS[1], 1000)
try('XREVRANGE', KEYS[1], '+', '-')
try('XRANGE', KEYS[1], '-', '+')
try('XLEN', KEYS[1])
try('DEL', KEYS[1])

try('PUBLISH', ARGV[1], 'probe')
return failed
