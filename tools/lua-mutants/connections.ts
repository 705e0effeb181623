import type { LuaMutants } from '../lua-mutants.ts';

/** Mistakes in the scripts that check the connection to Redis, and of the summaries of replicas. */
export const CONNECTION_MUTANTS: LuaMutants = {
  beat: [
    ['channel and text are exchanged', "'PUBLISH', channel, text", "'PUBLISH', text, channel"],
    [
      'the last change is the first one',
      "redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)",
      "redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)",
    ],
    ['each change counts as lost', "#redis.call('XRANGE', KEYS[1], known, known) == 0", 'true'],
    [
      'a Redis that went back has lost everything',
      "if #redis.call('XRANGE', KEYS[1], '-', '(' .. known, 'COUNT', 1) > 0 then",
      'if false then',
    ],
    [
      'a Redis that has lost everything went back',
      "if #redis.call('XRANGE', KEYS[1], '-', '(' .. known, 'COUNT', 1) > 0 then",
      'if true then',
    ],
    ['later changes count as earlier ones', "'-', '(' .. known", "'-', '+'"],
    ['a stream that is just full has lost its first change', '< MAX_CHANGES', '<= MAX_CHANGES'],
    ['a stream that is almost full has lost nothing', '< MAX_CHANGES', '< MAX_CHANGES - 1'],
    ['the answer has no time', '{digits(now)', "{'0'"],
    ['the last change is not returned', "last and last[1] or ''", "''"],
    ['the known change is returned', "last and last[1] or ''", 'known'],
  ],
  leave: [
    ['no summary is left', "redis.call('HSET', KEYS[1], id, left)\n--", '--'],
    ['the time is that of no clock', "digits(now) .. ' '", "'0 '"],
    ['there is no limit of summaries', "redis.call('HLEN', KEYS[1]) > MAX_REPLICAS", 'false'],
    ['there is one summary less', '> MAX_REPLICAS', '>= MAX_REPLICAS'],
    ['the summary is deleted with the others', "KEYS[1])\n  redis.call('HSET', KEYS[1], id, left)", 'KEYS[1])'],
    ['the summaries never expire', "redis.call('PEXPIRE', KEYS[1], SUMMARIES_MS)", '1'],
    ['the summaries are kept a thousand times as long', "'PEXPIRE'", "'EXPIRE'"],
  ],
  leftByOthers: [
    ['any number of summaries is read', "redis.call('HLEN', KEYS[1]) > MAX_REPLICAS", 'false'],
    ['as many summaries as there may be are not read', '> MAX_REPLICAS', '>= MAX_REPLICAS'],
    ['a long id is returned', 'math.max(#fields[at], #left)', '#left'],
    ['a long summary is returned', 'math.max(#fields[at], #left)', '#fields[at]'],
    ['a text without a time stops the script', 'instant and fields', 'fields'],
    ['the own summary is returned', ' and fields[at] ~= ARGV[1]', ''],
    ['the age is a point in time', 'now - tonumber(instant)', 'tonumber(instant)'],
    ['a time ahead of the clock has a negative age', 'math.max(0, now - tonumber(instant))', 'now - tonumber(instant)'],
    ['the summary is returned with its time', 'table.insert(answer, summary)', 'table.insert(answer, left)'],
  ],
  probe: [
    ['the right to write is not tried', "try('SET', KEYS[1], struct.pack('>I6', 1), 'PX', 1000)", ''],
    ['the right to publish is not tried', "try('PUBLISH', ARGV[1], 'probe')", ''],
    ['the right to change a hash is not tried', "try('HSET', KEYS[1], 'a', 1)", ''],
    ['the right to count a field is not tried', "try('HINCRBY', KEYS[1], 'b', 1)", ''],
    ['the right to schedule is not tried', "try('ZADD', KEYS[1], 1, 'a')", ''],
    ['the right to read the last change is not tried', "try('XREVRANGE', KEYS[1], '+', '-')", ''],
    ['the right to count the changes is not tried', "try('XLEN', KEYS[1])", ''],
    ['the stream stays in Redis', "try('DEL', KEYS[1])\n\ntry('PUBLISH'", "try('PUBLISH'"],
  ],
};
