import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Keys, SHARDS } from '../../../../src/store/redis/keys.ts';
import { accountId, accountOf, type SubjectId, subjectId } from '../../../../src/token/subject.ts';
import { anySubject } from '../../token/subjects.ts';

const keys = new Keys('sdkt');

function keysOf(id: SubjectId): string[] {
  return [keys.account(accountOf(id)), keys.lease(id), keys.fences(accountOf(id)), keys.dueOf(accountOf(id))];
}

test('the keys begin with the prefix and show nothing of the subject', () => {
  const id = subjectId({ app: 'app-canary', unionId: 'union-canary', uniqueId: 'terminal-canary' });
  const others = [keys.accessId('canary'), keys.rate('canary'), keys.loginQueue, keys.announcements];
  others.push(keys.recentLogin(accountOf(id)), keys.failures(accountOf(id)));
  for (const key of [...keysOf(id), ...others]) {
    expect(key).toMatch(/^sdkt:/);
    expect(key).not.toContain('canary');
  }
  expect(new Keys('other').account(accountOf(id))).toBe(keys.account(accountOf(id)).replace('sdkt', 'other'));
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

test('the shards get an even share of 10,000 accounts', () => {
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
