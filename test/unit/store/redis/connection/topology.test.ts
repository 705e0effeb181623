import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasSameServers, readTopology } from '../../../../../src/store/redis/connection/topology.ts';
import { wellFormedText } from '../../../../support/any-text.ts';

describe('a topology', () => {
  test('of one server is its URL', () => {
    expect(readTopology('rediss://user:p%40ss@redis.example:6380/2')).toEqual({
      kind: 'single',
      url: 'rediss://user:p%40ss@redis.example:6380/2',
    });
  });

  test('of Sentinels has their addresses, the name of the master, and the credentials', () => {
    const url = 'redis-sentinel://us%3Aer:p%40ss@a.example,[fd00::1]:26380/my%2Fmaster?tls=true&sentinelPassword=s%26s';
    expect(readTopology(url)).toEqual({
      kind: 'sentinel',
      sentinels: [
        { host: 'a.example', port: 26_379 },
        { host: 'fd00::1', port: 26_380 },
      ],
      name: 'my/master',
      username: 'us:er',
      password: 'p@ss',
      tls: true,
      sentinelPassword: 's&s',
    });
  });

  test('of a cluster has some of its nodes, and the credentials', () => {
    expect(readTopology('redis-cluster://:secret@a.example:7000,10.0.0.7')).toEqual({
      kind: 'cluster',
      nodes: [
        { host: 'a.example', port: 7_000 },
        { host: '10.0.0.7', port: 6_379 },
      ],
      username: '',
      password: 'secret',
      tls: false,
    });
  });

  test('has user, password and name without percent-encoding', () => {
    const text = fc.string({ minLength: 1, unit: 'grapheme' });
    fc.assert(
      fc.property(text, text, text, (username, password, name) => {
        const [user, secret, master] = [username, password, name].map(encodeURIComponent);
        const expected = { username, password };
        expect(readTopology(`redis-sentinel://${user}:${secret}@a/${master}`)).toMatchObject({ ...expected, name });
        expect(readTopology(`redis-cluster://${user}:${secret}@a`)).toMatchObject(expected);
      }),
    );
  });

  test('is undefined for any other text, without an exception', () => {
    const scheme = fc.constantFrom('redis', 'rediss', 'redis-sentinel', 'redis-cluster', '');
    fc.assert(
      fc.property(scheme, wellFormedText(), (start, rest) => {
        const topology = readTopology(`${start}://${rest}`);
        if (start === '') expect(topology).toBeUndefined();
      }),
    );
  });
});

describe('two URLs', () => {
  test.each([
    ['redis://a.example/1', 'redis://user:p%40ss@a.example/1'],
    ['rediss://:old@a.example:7000', 'rediss://:new@a.example:7000'],
    ['redis-cluster://:old@a.example,b.example', 'redis-cluster://u:new@a.example,b.example'],
    [
      'redis-sentinel://:old@a.example/name?sentinelPassword=old',
      'redis-sentinel://:new@a.example/name?sentinelPassword=new',
    ],
  ])('name the same servers if only the credentials differ: %s, %s', (one, other) => {
    expect(hasSameServers(one, other)).toBe(true);
  });

  test.each([
    ['redis://a.example', 'rediss://a.example'],
    ['redis://a.example', 'redis://b.example'],
    ['redis://a.example/1', 'redis://a.example/2'],
    ['redis://a.example', 'redis-cluster://a.example'],
    ['redis-cluster://a.example', 'redis-cluster://a.example?tls=true'],
    ['redis-sentinel://a.example/one', 'redis-sentinel://a.example/two'],
  ])('name other servers otherwise: %s, %s', (one, other) => {
    expect(hasSameServers(one, other)).toBe(false);
  });
});
