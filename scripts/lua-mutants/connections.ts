import type { LuaMutants } from '../lua-mutants.ts';

/** Mistakes in the scripts that check the connection to Redis. */
export const CONNECTION_MUTANTS: LuaMutants = {
  beat: [
    ['no heartbeat is published', "redis.call('PUBLISH', channel, text)", ''],
    ['channel and text are exchanged', "'PUBLISH', channel, text", "'PUBLISH', text, channel"],
    [
      'the last change is the first one',
      "redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)",
      "redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)",
    ],
    ['no loss is noticed', "known ~= '' and #redis.call('XRANGE', KEYS[1], known, known) == 0", 'false'],
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
    ['a full stream has lost its first change', "redis.call('XLEN', KEYS[1]) < MAX_CHANGES", 'true'],
    ['no stream has lost everything', "redis.call('XLEN', KEYS[1]) < MAX_CHANGES", 'false'],
    ['a stream that is just full has lost its first change', '< MAX_CHANGES', '<= MAX_CHANGES'],
    ['a stream that is almost full has lost nothing', '< MAX_CHANGES', '< MAX_CHANGES - 1'],
    ['the answer has no time', '{digits(now)', "{'0'"],
    ['the last change is not returned', "last and last[1] or ''", "''"],
    ['the known change is returned', "last and last[1] or ''", 'known'],
  ],
  probe: [
    ['the right to write is not tried', "redis.call('SET', KEYS[1], struct.pack('>I6', 1), 'PX', 1000)", ''],
    ['the right to publish is not tried', "redis.call('PUBLISH', ARGV[1], 'probe')", ''],
    ['the right to add a change is not tried', "redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', '', '')", ''],
    ['the right to read the last change is not tried', "redis.call('XREVRANGE', KEYS[1], '+', '-')", ''],
    ['the right to read the changes is not tried', "redis.call('XRANGE', KEYS[1], '-', '+')", ''],
    ['the right to count the changes is not tried', "redis.call('XLEN', KEYS[1])", ''],
    [
      'the text stays in Redis, where the stream needs its place',
      "redis.call('DEL', KEYS[1])\nredis.call('XADD'",
      "redis.call('XADD'",
    ],
    ['the stream stays in Redis', "return redis.call('DEL', KEYS[1])", 'return 1'],
    [
      'the probe never expires',
      ", 'PX', 1000)",
      ')',
      'A later line deletes the probe. The expiry only helps when Redis stops between two lines of the script.',
    ],
  ],
};
