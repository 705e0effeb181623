import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Keys, SHARDS } from '../../../../src/store/redis/keys.ts';
import { accountId, accountOf, type SubjectId, subjectId, terminalOf } from '../../../../src/token/subject.ts';
import { anySubject, differentSubjects } from '../../token/subjects.ts';

const keys = new Keys('sdkt');

/** The part of a key that a cluster hashes (Redis Cluster specification, "Hash tags"). */
function hashTag(key: string): string | undefined {
  return /\{(.+?)\}/.exec(key)?.[1];
}

function keysOf(id: SubjectId): string[] {
  return [keys.account(accountOf(id)), keys.lease(id), keys.fences(accountOf(id)), keys.dueOf(accountOf(id))];
}

describe('the keys of different subjects', () => {
  test('never name the same record, lease or fence', () => {
    fc.assert(
      fc.property(differentSubjects, (subjects) => {
        const ids = subjects.map(subjectId);
        for (const place of [
          (id: SubjectId) => `${keys.account(accountOf(id))} ${terminalOf(id)}`,
          (id: SubjectId) => keys.lease(id),
          (id: SubjectId) => `${keys.fences(accountOf(id))} ${terminalOf(id)}`,
        ]) {
          expect(new Set(ids.map(place)).size).toBe(subjects.length);
        }
      }),
    );
  });

  test('share one account key if and only if the account is the same', () => {
    fc.assert(
      fc.property(anySubject, anySubject, (one, other) => {
        const another = { ...other, unionId: one.unionId };
        expect(keys.account(accountOf(subjectId(another)))).toBe(keys.account(accountOf(subjectId(one))));
        const same = keys.account(accountOf(subjectId(other))) === keys.account(accountOf(subjectId(one)));
        expect(same).toBe(other.unionId === one.unionId);
      }),
    );
  });
});

describe('the keys of one subject', () => {
  test('are four different ones in one hash slot of a cluster', () => {
    fc.assert(
      fc.property(anySubject, (subject) => {
        const all = keysOf(subjectId(subject));
        expect(new Set(all).size).toBe(4);
        const [tag, ...others] = new Set(all.map(hashTag));
        expect(others).toEqual([]);
        expect(tag).toMatch(/^(?:[0-9]|1[0-5])$/);
      }),
    );
  });

  test('begin with the prefix and show nothing of the subject', () => {
    const id = subjectId({ app: 'app-canary', unionId: 'union-canary', uniqueId: 'terminal-canary' });
    const others = [keys.accessId('canary'), keys.rate('canary'), keys.loginQueue, keys.announcements];
    others.push(keys.recentLogin(accountOf(id)), keys.failures(accountOf(id)));
    for (const key of [...keysOf(id), ...others]) {
      expect(key).toMatch(/^sdkt:/);
      expect(key).not.toContain('canary');
    }
    expect(new Keys('other').account(accountOf(id))).toBe(keys.account(accountOf(id)).replace('sdkt', 'other'));
  });
});

test('the login queue and the marks of recent logins are in one hash slot of a cluster', () => {
  expect(hashTag(keys.recentLogin(accountId('alice')))).toBe(hashTag(keys.loginQueue));
});

test('an account is found from its own key, and from no other key', () => {
  fc.assert(
    fc.property(anySubject, (subject) => {
      const id = subjectId(subject);
      expect(keys.accountAt(keys.account(accountOf(id)))).toBe(accountOf(id));
      const others = [...keysOf(id).slice(1), keys.accessId(subject.unionId), new Keys('sdkt2').account(accountOf(id))];
      for (const key of others) expect(keys.accountAt(key)).toBeUndefined();
    }),
  );
});

describe('the shards', () => {
  test('get an even share of 10,000 accounts', () => {
    const counts = new Map<string, number>();
    for (let number = 0; number < 10_000; number += 1) {
      const due = keys.dueOf(accountId(`account-${number}`));
      counts.set(due, (counts.get(due) ?? 0) + 1);
    }
    const shards = Array.from({ length: SHARDS }, (_, shard) => keys.due(shard));
    expect([...counts.keys()].sort()).toEqual(shards.sort());
    // 625 each, give or take five standard deviations.
    for (const count of counts.values()) expect(Math.abs(count - 625)).toBeLessThan(121);
  });
});
