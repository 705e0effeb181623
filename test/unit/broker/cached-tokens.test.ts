import { validateHeaderValue } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CachedToken, CachedTokens, cachedToken, recordOf } from '../../../src/broker/cached-tokens.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { wellFormedText } from '../../support/any-text.ts';
import { recordOfOther } from '../../support/broker-parts.ts';
import { madeUpRecord } from '../../support/made-up-tokens.ts';

interface Changes {
  readonly unionId?: string;
  readonly uniqueId?: string;
  readonly accessToken?: string;
  readonly generation?: number;
  readonly answeredAt?: number;
  readonly suspect?: boolean;
  readonly read?: boolean;
  readonly sessionsEndedAt?: number | undefined;
  readonly checkedAt?: number;
  readonly renewFrom?: number;
}

function recordFrom(changes: Changes): TokenRecord {
  const { unionId = 'alice', uniqueId = 'phone', accessToken = 'token' } = changes;
  const { generation = 1, answeredAt = 2, read = true, suspect = false } = changes;
  const subject = { app: 'default', unionId, uniqueId };
  const token = { fields: { accessToken, expand: '{"area":"cn"}' }, issuedAt: 0.5, expiresAt: 1e13 };
  return recordOfOther(generation, { subject, token, answeredAt, read, unreadRenewals: 2, suspect });
}

function tokenOf(changes: Changes = {}): CachedToken {
  const record = recordFrom(changes);
  const { sessionsEndedAt, checkedAt = -0.5, renewFrom = 0.25 } = changes;
  return cachedToken(record, { id: subjectId(record.subject), checkedAt, sessionsEndedAt, renewFrom });
}

function all(memory: CachedTokens): CachedToken[] {
  return [...memory.confirmed(Number.POSITIVE_INFINITY, 0)];
}

const TEXTS = wellFormedText({ minLength: 1, maxLength: 128 });

describe('tokens in memory', () => {
  test('take no more of the heap than they count, and little less', () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage: () => void = runInNewContext('gc');
    const heapOf = () => {
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const memory = new CachedTokens(2 ** 30);
    const fill = (size: number) => {
      for (let number = memory.size; number < size; number += 1) {
        const record = madeUpRecord({ app: 'default', unionId: `account-${number}`, uniqueId: `phone-${number}` });
        const facts = { id: subjectId(record.subject), checkedAt: 0.5, sessionsEndedAt: 0.5, renewFrom: 0.5 };
        // An answer makes one text of the parts of the tag.
        validateHeaderValue('etag', memory.add(cachedToken(record, facts)).etag);
      }
      return heapOf();
    };
    // The first ones also bring what a process needs once.
    const [before, counted] = [fill(5_000), memory.bytes];
    const share = (fill(30_000) - before) / (memory.bytes - counted);
    expect(share).toBeGreaterThan(0.85);
    expect(share).toBeLessThanOrEqual(1);
  });

  test('are returned as they were added, whatever their texts and numbers', () => {
    const change = fc.record({
      unionId: TEXTS,
      uniqueId: TEXTS,
      accessToken: TEXTS,
      generation: fc.maxSafeNat(),
      answeredAt: fc.maxSafeNat(),
      read: fc.boolean(),
      suspect: fc.boolean(),
      sessionsEndedAt: fc.option(fc.maxSafeNat(), { nil: undefined }),
      checkedAt: fc.constantFrom(Number.NEGATIVE_INFINITY, 1e12),
      renewFrom: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(change, (changes) => {
        const memory = new CachedTokens(10_000);
        const token = tokenOf(changes);
        expect(memory.add(token)).toBe(token);
        const found = memory.find(token.id);
        expect(found).toEqual(token);
        expect(found && recordOf(found)).toEqual(recordFrom(changes));
        expect([all(memory), memory.size]).toEqual([[token], 1]);
      }),
    );
  });

  test('are the latest of each terminal, and those of the accounts that were used last, after any sequence of changes', () => {
    const maxBytes = 20_000;
    const change = fc.record({
      kind: fc.constantFrom('add', 'add', 'add', 'find', 'remove', 'remove account', 'invalidate'),
      unionId: fc.integer({ min: 0, max: 60 }).map((number) => `account-${number}`),
      uniqueId: fc.constantFrom('phone', 'tablet'),
      length: fc.integer({ min: 0, max: 1_500 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 150 }), (changes) => {
        const memory = new CachedTokens(maxBytes);
        const model = new Map<SubjectId, CachedToken>();
        /** The accounts, those that were used last at the end. */
        const used = new Set<AccountId>();
        let generation = 0;
        for (const { kind, length, ...parts } of changes) {
          generation += 1;
          const token = tokenOf({ ...parts, generation, accessToken: 'x'.repeat(length) });
          const account = accountOf(token.id);
          const known = model.get(token.id);
          if (kind === 'add') {
            memory.add(token);
            model.set(token.id, token);
          } else if (kind === 'find') {
            expect(memory.find(token.id)).toEqual(known);
          } else if (kind === 'invalidate') {
            memory.invalidate(token.id, generation);
            if (known) model.set(token.id, { ...known, isReplaced: true });
          } else {
            const owner = kind === 'remove' ? token.id : account;
            memory.remove(owner, generation);
            for (const id of [...model.keys()]) if (id.startsWith(owner)) model.delete(id);
          }
          if (kind === 'add' || kind === 'find') {
            used.delete(account);
            used.add(account);
          }
          const left = all(memory);
          const ids = new Set(left.map(({ id }) => id));
          expect([memory.size, ids.size]).toEqual([left.length, left.length]);
          expect(memory.bytes).toBeLessThanOrEqual(maxBytes);
          for (const one of left) expect(one).toEqual(model.get(one.id));
          for (const one of left) expect(memory.peek(one.id)).toEqual(one);
          // An account takes at most 5,000 bytes, so four fit.
          const lastUsed = [...used].slice(-4);
          for (const id of model.keys()) if (lastUsed.includes(accountOf(id))) expect(ids).toContain(id);
          for (const id of [...model.keys()]) if (!ids.has(id)) model.delete(id);
        }
      }),
    );
  });

  test('are not replaced by an older token of the terminal', () => {
    const memory = new CachedTokens(10_000);
    const newer = tokenOf({ generation: 2, accessToken: 'newer' });
    expect(memory.add(newer)).toEqual(newer);
    expect(memory.add(tokenOf({ generation: 1 }))).toEqual(newer);
    expect(all(memory)).toEqual([newer]);
    const sameGeneration = tokenOf({ generation: 2, accessToken: 'other' });
    expect(memory.add(sameGeneration)).toEqual(sameGeneration);
    expect(all(memory)).toEqual([sameGeneration]);
  });

  test('keep the renewal time and the read mark when they are added again, and no other token gets them', () => {
    const memory = new CachedTokens(10_000);
    const tablet = tokenOf({ uniqueId: 'tablet', generation: 2, read: false });
    const token = tokenOf({ generation: 2, read: false });
    for (const one of [tablet, token, tokenOf({ unionId: 'bob', generation: 2, read: false })]) memory.add(one);
    expect(memory.setRead(token.id, 1, true)).toBe(false);
    memory.setRenewFrom(token.id, 1, 5);
    expect(memory.find(token.id)).toEqual(token);
    expect([1, 2].map(() => memory.setRead(token.id, 2, true))).toEqual([true, false]);
    memory.setRenewFrom(token.id, 2, 5);
    expect(memory.find(tablet.id)).toEqual(tablet);
    const again = tokenOf({ generation: 2, read: true, checkedAt: 3, sessionsEndedAt: 1, renewFrom: 5 });
    expect(memory.add({ ...token, checkedAt: 3, sessionsEndedAt: 1 })).toEqual(again);
    expect(memory.find(token.id)).toEqual(again);
    expect(memory.setRead(token.id, 2, false)).toBe(true);
    expect(memory.find(token.id)?.read).toBe(false);
    expect(memory.add({ ...again, read: false })).toEqual({ ...again, read: false });
    expect(memory.setRead(tokenOf({ unionId: 'carol' }).id, 2, true)).toBe(false);
    memory.setRenewFrom(tokenOf({ unionId: 'carol' }).id, 2, 5);
    // A renewal may bring the same token again.
    for (const other of [
      { accessToken: 'other', renewFrom: 7 },
      { accessToken: 'other', generation: 3 },
    ]) {
      const unread = tokenOf({ generation: 2, read: false, ...other });
      expect(memory.add(unread)).toEqual(unread);
      expect(memory.find(token.id)).toEqual(unread);
    }
  });

  test('do not count as used by a look or by a logout that removes none of them', () => {
    const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((unionId) => tokenOf({ unionId })) as [
      CachedToken,
      CachedToken,
      CachedToken,
    ];
    // Two accounts fit.
    const memory = new CachedTokens(1_600);
    for (const token of [alice, bob]) memory.add(token);
    memory.peek(alice.id);
    memory.remove(tokenOf({ uniqueId: 'tablet' }).id);
    memory.add(carol);
    expect(all(memory)).toEqual([carol, bob]);
  });

  test('do not include a token that is larger than the memory, nor its former one', () => {
    const memory = new CachedTokens(2_000);
    memory.add(tokenOf());
    memory.add(tokenOf({ accessToken: 'x'.repeat(2_000) }));
    expect([memory.size, memory.find(tokenOf().id)]).toEqual([0, undefined]);
    memory.add(tokenOf());
    expect(memory.size).toBe(1);
  });

  test('can be listed while new ones displace them', () => {
    const memory = new CachedTokens(15_000);
    const tokens = Array.from({ length: 60 }, (_, number) => tokenOf({ unionId: `account-${number}` }));
    for (const token of tokens.slice(0, 20)) memory.add(token);
    const rest = tokens.slice(20);
    const listed: SubjectId[] = [];
    for (const token of memory.confirmed(Number.POSITIVE_INFINITY, 0)) {
      expect(tokens).toContainEqual(token);
      listed.push(token.id);
      for (const other of rest.splice(0, 3)) memory.add(other);
    }
    expect(listed.length).toBeGreaterThan(1);
    expect(new Set(listed).size).toBe(listed.length);
  });

  test('are listed only if the store confirmed them up to a time, and if they have not ended', () => {
    const memory = new CachedTokens(10_000);
    for (const checkedAt of [Number.NEGATIVE_INFINITY, 4, 5])
      memory.add(tokenOf({ unionId: `${checkedAt}`, checkedAt }));
    expect([...memory.confirmed(4, 1e13 - 1)].map(({ checkedAt }) => checkedAt)).toEqual([4, Number.NEGATIVE_INFINITY]);
    expect([...memory.confirmed(4, 1e13)]).toEqual([]);
  });
});
