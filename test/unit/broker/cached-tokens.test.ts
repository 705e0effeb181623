import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type CachedToken, CachedTokens, cachedToken, recordOf } from '../../../src/broker/cached-tokens.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountOf, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { wellFormedText } from '../../support/any-text.ts';

interface Changes {
  readonly unionId?: string;
  readonly uniqueId?: string;
  readonly accessToken?: string;
  readonly generation?: number;
  readonly answeredAt?: number;
  readonly suspect?: boolean;
  readonly read?: boolean;
  readonly erasedAt?: number | undefined;
  readonly checkedAt?: number;
  readonly renewFrom?: number;
}

function recordFrom(changes: Changes): TokenRecord {
  const { unionId = 'alice', uniqueId = 'phone', accessToken = 'token' } = changes;
  const { generation = 1, answeredAt = 2, read = true, suspect = false } = changes;
  const subject = { app: 'default', unionId, uniqueId };
  const token = { fields: { accessToken, expand: '{"area":"cn"}' }, issuedAt: 0.5, expiresAt: 1e13 };
  return { subject, region: 'CN', token, generation, answeredAt, read, unreadRenewals: 2, suspect };
}

function tokenOf(changes: Changes = {}): CachedToken {
  const record = recordFrom(changes);
  const { erasedAt, checkedAt = -0.5, renewFrom = 0.25 } = changes;
  return cachedToken(record, { id: subjectId(record.subject), checkedAt, erasedAt, renewFrom });
}

function all(memory: CachedTokens): CachedToken[] {
  return [...memory.confirmed(Number.POSITIVE_INFINITY, 0)];
}

const TEXTS = wellFormedText({ minLength: 1, maxLength: 128 });

describe('tokens in memory', () => {
  test('take at most as much memory as they may', () => {
    const most = 2 ** 26;
    const before = process.memoryUsage().arrayBuffers;
    const memory = new CachedTokens(most);
    const taken = process.memoryUsage().arrayBuffers - before;
    expect(memory.size).toBe(0);
    expect(taken).toBeLessThanOrEqual(most);
    expect(taken).toBeGreaterThan(most / 2);
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
      erasedAt: fc.option(fc.maxSafeNat(), { nil: undefined }),
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

  test('are the latest of each terminal, also of accounts that share a bucket, after any sequence of changes', () => {
    const maxBytes = 12_000;
    const change = fc.record({
      kind: fc.constantFrom('add', 'add', 'add', 'find', 'remove', 'remove account', 'invalidate'),
      // More accounts than the 47 buckets.
      unionId: fc.integer({ min: 0, max: 60 }).map((number) => `account-${number}`),
      uniqueId: fc.constantFrom('phone', 'tablet'),
      length: fc.integer({ min: 0, max: 1_500 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 150 }), (changes) => {
        const memory = new CachedTokens(maxBytes);
        const model = new Map<SubjectId, CachedToken>();
        const used: (SubjectId | undefined)[] = [];
        let generation = 0;
        for (const { kind, length, ...parts } of changes) {
          generation += 1;
          const token = tokenOf({ ...parts, generation, accessToken: 'x'.repeat(length) });
          const known = model.get(token.id);
          used.push(kind === 'add' || kind === 'find' ? token.id : undefined);
          if (kind === 'add') {
            memory.add(token);
            model.set(token.id, token);
          } else if (kind === 'find') {
            expect(memory.find(token.id)).toEqual(known);
          } else if (kind === 'invalidate') {
            memory.invalidate(token.id, generation);
            if (known) model.set(token.id, { ...known, checkedAt: Number.NEGATIVE_INFINITY });
          } else {
            const owner = kind === 'remove' ? token.id : accountOf(token.id);
            memory.remove(owner, generation);
            for (const id of [...model.keys()]) if (id.startsWith(owner)) model.delete(id);
          }
          const left = all(memory);
          const ids = new Set(left.map(({ id }) => id));
          expect([memory.size, ids.size]).toEqual([left.length, left.length]);
          expect(memory.bytes).toBeLessThanOrEqual(maxBytes);
          for (const one of left) expect(one).toEqual(model.get(one.id));
          for (const one of left) expect(memory.peek(one.id)).toEqual(one);
          // A token takes at most 1,800 bytes. So two others and an unused end fit into half of the block.
          for (const id of used.slice(-3)) if (id && model.has(id)) expect(ids).toContain(id);
          for (const id of [...model.keys()]) if (!ids.has(id)) model.delete(id);
        }
      }),
    );
  });

  test('fill the memory in every lap before the oldest one is overwritten', () => {
    const memory = new CachedTokens(100_000);
    for (let number = 0; number < 1_000; number += 1) {
      memory.add(tokenOf({ unionId: `account-${number}`, accessToken: 'x'.repeat(200), generation: number }));
      if (number < 250) continue;
      const first = number - memory.size + 1;
      const expected = Array.from({ length: memory.size }, (_, index) => first + index);
      expect(all(memory).map(({ generation }) => generation)).toEqual(expected);
      expect(memory.size).toBeGreaterThan(190);
      expect(memory.bytes).toBeGreaterThan(95_500);
    }
  });

  test('overwrite no others when one is read or renewed again and again', () => {
    const memory = new CachedTokens(100_000);
    for (let number = 0; number < 150; number += 1)
      memory.add(tokenOf({ unionId: `account-${number}`, accessToken: 'token-0000' }));
    const { bytes } = memory;
    for (let checkedAt = 0; checkedAt < 1_000; checkedAt += 1) {
      const accessToken = `token-${1_000 + checkedAt}`;
      memory.add(tokenOf({ unionId: 'account-149', checkedAt, accessToken, generation: checkedAt }));
    }
    expect([memory.size, memory.bytes]).toEqual([150, bytes]);
    expect(memory.peek(tokenOf({ unionId: 'account-149' }).id)?.checkedAt).toBe(999);
  });

  test.each(['read', 'renewed'])('stay whole in a full memory when the oldest one is %s', (kind) => {
    const memory = new CachedTokens(100_000);
    let added = 0;
    for (; memory.size === added; added += 1) memory.add(tokenOf({ unionId: `account-${added}` }));
    const unionId = `account-${added - memory.size}`;
    const renewed = tokenOf({ unionId, accessToken: 'x'.repeat(50), generation: 2 });
    const newest = kind === 'read' ? tokenOf({ unionId }) : renewed;
    expect(kind === 'read' ? memory.find(newest.id) : memory.add(newest)).toEqual(newest);
    expect(all(memory).at(-1)).toEqual(newest);
    for (const token of all(memory)) expect(memory.peek(token.id)).toEqual(token);
    expect(memory.size).toBe(all(memory).length);
  });

  test('are found as quickly after their account has logged in and out again and again', () => {
    const memory = new CachedTokens(1_000_000);
    const [phone, laptop, tablet] = [tokenOf(), tokenOf({ uniqueId: 'laptop' }), tokenOf({ uniqueId: 'tablet' })];
    memory.add(tablet);
    for (let round = 0; round < 500; round += 1) {
      for (const token of [phone, laptop]) memory.add(token);
      for (const { id } of [phone, laptop]) memory.remove(id);
    }
    const texts = vi.spyOn(Buffer.prototype, 'toString');
    onTestFinished(() => texts.mockRestore());
    expect(memory.find(tablet.id)).toEqual(tablet);
    expect(texts).toHaveBeenCalledTimes(1);
  });

  test('stay if they are read again before half of the memory is overwritten, and otherwise go in their turn', () => {
    const memory = new CachedTokens(100_000);
    const [used, renewed, looked, unused] = ['used', 'renewed', 'looked', 'unused'].map((unionId) =>
      tokenOf({ unionId }),
    );
    for (const token of [used, renewed, looked, unused]) if (token) memory.add(token);
    for (let number = 0; number < 1_000; number += 1) {
      memory.add(tokenOf({ unionId: `account-${number}` }));
      if (used && number % 50 === 0) memory.find(used.id);
      if (looked) memory.peek(looked.id);
      // A renewal is no read.
      if (renewed && memory.peek(renewed.id)) memory.add(renewed);
    }
    const isKnown = [used, renewed, looked, unused].map((token) => token && memory.peek(token.id) !== undefined);
    expect(isKnown).toEqual([true, false, false, false]);
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
    const again = tokenOf({ generation: 2, read: true, checkedAt: 3, erasedAt: 1, renewFrom: 5 });
    expect(memory.add({ ...token, checkedAt: 3, erasedAt: 1 })).toEqual(again);
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

  test('leave nothing in the memory once they are removed', () => {
    const from = vi.spyOn(Buffer, 'from');
    onTestFinished(() => from.mockRestore());
    const memory = new CachedTokens(10_000);
    const block = from.mock.results[0]?.value as Buffer;
    const [token, other] = [tokenOf({ accessToken: 'secret' }), tokenOf({ unionId: 'bob', accessToken: 'another' })];
    memory.add(token);
    memory.add(other);
    expect(block.includes('secret')).toBe(true);
    memory.remove(accountOf(token.id));
    expect([token.id, 'alice', 'secret'].some((text) => block.includes(text))).toBe(false);
    expect(all(memory)).toEqual([other]);
  });

  test('do not include a token that is larger than the memory, nor its former one', () => {
    const memory = new CachedTokens(2_000);
    memory.add(tokenOf());
    memory.add(tokenOf({ accessToken: 'x'.repeat(2_000) }));
    expect([memory.size, memory.find(tokenOf().id)]).toEqual([0, undefined]);
    memory.add(tokenOf());
    expect(memory.size).toBe(1);
  });

  test('work in the largest memory', () => {
    const memory = new CachedTokens(2 ** 31);
    memory.add(tokenOf());
    expect(all(memory)).toEqual([tokenOf()]);
  });

  test('can be listed while new ones overwrite them', () => {
    const memory = new CachedTokens(6_000);
    const tokens = Array.from({ length: 60 }, (_, number) =>
      tokenOf({ unionId: `account-${number}`, generation: number, accessToken: 'x'.repeat(17 * (number % 11)) }),
    );
    for (const token of tokens.slice(0, 20)) memory.add(token);
    const rest = tokens.slice(20);
    const listed: number[] = [];
    for (const { id, generation } of memory.confirmed(Number.POSITIVE_INFINITY, 0)) {
      listed.push(generation);
      expect(id).toBe(tokens[generation]?.id);
      for (const token of rest.splice(0, 3)) memory.add(token);
    }
    expect(listed).toEqual(listed.toSorted((one, other) => one - other));
    expect(listed.at(-1)).toBe(59);
    expect(new Set(listed).size).toBe(listed.length);
  });

  test('are listed only if the store confirmed them up to a time, and if they have not ended', () => {
    const memory = new CachedTokens(10_000);
    for (const checkedAt of [Number.NEGATIVE_INFINITY, 4, 5])
      memory.add(tokenOf({ unionId: `${checkedAt}`, checkedAt }));
    expect([...memory.confirmed(4, 1e13 - 1)].map(({ checkedAt }) => checkedAt)).toEqual([Number.NEGATIVE_INFINITY, 4]);
    expect([...memory.confirmed(4, 1e13)]).toEqual([]);
    const issued = (from: number, to: number) => [...memory.confirmed(5, 0, from, to)].length;
    expect([issued(0.5, 1), issued(0.4, 0.5), issued(0.6, 1)]).toEqual([3, 0, 0]);
  });
});
