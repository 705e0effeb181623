import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { problemsOf, USABLE } from './usable-environment.ts';

describe('REDIS_URL may be', () => {
  test.each([
    'redis://redis.example',
    'redis://redis.example:6380/2',
    'redis://:p%40ss@127.0.0.1:6379/0',
    'redis://user:password@[::1]:6379',
    'redis://redis.example?family=6',
    'rediss://user:password@redis.example:6380/15',
    'redis-sentinel://a.example/mymaster',
    'redis-sentinel://a.example:26379,b.example:26380,[fd00::1]:26381/my%20master',
    'redis-sentinel://:password@a.example,b.example/mymaster?tls=true',
    'redis-sentinel://user:p%2Fss@a.example/mymaster?sentinelPassword=p%26ss&tls=false',
    'redis-cluster://a.example',
    'redis-cluster://a.example:6379,b.example:6380,10.0.0.7/',
    'redis-cluster://user:p%3Ass@a.example:7000,b.example:7000?tls=true',
  ])('%s', (REDIS_URL) => {
    expect(loadConfig({ ...USABLE, REDIS_URL }).redis?.url).toBe(REDIS_URL);
  });
});

describe('REDIS_URL may not be', () => {
  const EACH = ['redis', 'rediss', 'redis-sentinel', 'redis-cluster'];
  test.each([
    ['without a host', ['redis://', 'rediss://:password@', 'redis-sentinel:///mymaster', 'redis-cluster://']],
    ['with an empty host', ['redis-cluster://a.example,', 'redis-sentinel://,a.example/mymaster']],
    ['with an invalid port', EACH.map((scheme) => `${scheme}://canary.example:70000/1`)],
    ['with port 0', ['redis-cluster://a.example:0', 'redis-sentinel://a.example:0/mymaster']],
    ['with several hosts in a scheme for one', ['redis://a.example:6379,b.example:6379']],
    ['with a database that is not a number', ['redis://redis.example/canary', 'rediss://redis.example/1/2']],
    ['with a database on a cluster', ['redis-cluster://a.example/1']],
    ['for Sentinels without the name of the master', ['redis-sentinel://a.example', 'redis-sentinel://a.example/']],
    ['with several path segments for the name', ['redis-sentinel://a.example/my/master']],
    ['with a user but without a password', ['redis-cluster://canary@a.example', 'redis-sentinel://canary@a.example/m']],
    ['with a password that is not percent-encoded', ['redis-cluster://:can@ary@a.example', 'redis://:%@a.example']],
    [
      'with a password that ends the host part of the URL',
      EACH.flatMap((scheme) => ['#', '/', '?'].map((character) => `${scheme}://user:12${character}canary@a.example`)),
    ],
    [
      'with an invalid percent-encoding',
      EACH.flatMap((scheme) => [':canary%zz@a', 'canary%zz:p@a', 'a/%zz'].map((rest) => `${scheme}://${rest}`)),
    ],
    [
      'with an unknown option',
      ['redis-cluster://a.example?canary=1', 'redis-sentinel://a.example/m?db=1', 'redis://a.example?db=1'],
    ],
    ['with an option for Sentinels on a cluster', ['redis-cluster://a.example?sentinelPassword=canary']],
    ['with an option given twice', ['redis-cluster://a.example?tls=true&tls=false']],
    ['with an option that ioredis reads as another one', ['redis://a.example?tls=false', 'redis://a.example?family=x']],
    ['with an invalid value of tls', ['redis-cluster://a.example?tls=1', 'redis-sentinel://a.example/m?tls=canary']],
    [
      'with another scheme',
      ['rediss-cluster://a.example', 'redis+sentinel://a.example/m', 'unix:///redis.sock', 'canary'],
    ],
  ])('%s', (_, values) => {
    for (const value of values) {
      const [problem, ...others] = problemsOf({ ...USABLE, REDIS_URL: value });
      expect(problem, value).toMatch(
        /^REDIS_URL must be a redis:\/\/ or rediss:\/\/ URL, redis-sentinel:\/\/.*\/name or redis-cluster:\/\/.*percent-encoded/,
      );
      expect(problem).not.toMatch(/can@?ary/);
      expect(others).toEqual([]);
    }
  });
});
