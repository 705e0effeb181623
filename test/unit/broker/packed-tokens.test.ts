import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CachedToken, PackedTokens } from '../../../src/broker/packed-tokens.ts';
import { serveToken } from '../../../src/token/sdk-token.ts';
import { accountOf, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { compareFieldsOfTokens } from '../../support/token-equality.ts';

compareFieldsOfTokens();

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

function tokenOf(changes: Changes = {}): CachedToken {
  const { unionId = 'alice', uniqueId = 'phone', accessToken = 'token' } = changes;
  const { generation = 1, answeredAt = 2, read = true, suspect = false } = changes;
  const { erasedAt, checkedAt = -0.5, renewFrom = 0.25 } = changes;
  const subject = { app: 'default', unionId, uniqueId };
  const token = { fields: { accessToken, expand: '{"area":"cn"}' }, issuedAt: 0.5, expiresAt: 1e13 };
  const flags = { read, unreadRenewals: 2, suspect };
  const served = serveToken({ subject, region: 'CN', token, generation, answeredAt, ...flags });
  return { id: subjectId(subject), served, checkedAt, erasedAt, renewFrom };
}

function all(block: PackedTokens): CachedToken[] {
  return [...block.tokens(Number.POSITIVE_INFINITY, 0)];
}

const TEXTS = fc.string({ unit: 'binary', minLength: 1, maxLength: 128 });

describe('packed tokens', () => {
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
        const block = new PackedTokens(10_000);
        const token = tokenOf(changes);
        expect(block.add(token, true)).toBe(token);
        const found = block.find(token.id);
        expect(found).toEqual(token);
        expect(found?.served.record.token.fields).toEqual(token.served.record.token.fields);
        expect([all(block), block.size]).toEqual([[token], 1]);
      }),
    );
  });

  test('are the latest of each terminal, also of accounts that share a bucket, after any sequence of changes', () => {
    const maxBytes = 12_000;
    const change = fc.record({
      kind: fc.constantFrom('add', 'add', 'add', 'use', 'remove terminal', 'remove account', 'invalidate'),
      // More accounts than the 24 buckets.
      unionId: fc.integer({ min: 0, max: 60 }).map((number) => `account-${number}`),
      uniqueId: fc.constantFrom('phone', 'tablet'),
      length: fc.integer({ min: 0, max: 1_500 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 150 }), (changes) => {
        const block = new PackedTokens(maxBytes);
        const model = new Map<SubjectId, CachedToken>();
        const recentUses: (SubjectId | undefined)[] = [];
        let generation = 0;
        for (const { kind, length, ...parts } of changes) {
          generation += 1;
          const token = tokenOf({ ...parts, generation, accessToken: 'x'.repeat(length) });
          recentUses.push(kind === 'use' ? token.id : undefined);
          const account = accountOf(token.id);
          if (kind === 'add' || kind === 'use') {
            block.add(token, kind === 'use');
            model.set(token.id, token);
          } else if (kind === 'invalidate') {
            block.invalidate(token.id, generation);
            const known = model.get(token.id);
            if (known) model.set(token.id, { ...known, checkedAt: Number.NEGATIVE_INFINITY });
          } else {
            const owner = kind === 'remove account' ? account : token.id;
            block.remove(owner, generation);
            for (const id of [...model.keys()]) if (id.startsWith(owner)) model.delete(id);
          }
          const left = all(block);
          expect(block.size).toBe(left.length);
          expect(block.bytes).toBeLessThanOrEqual(maxBytes);
          for (const known of left) expect(known).toEqual(model.get(known.id));
          for (const known of left) expect(block.find(known.id)).toEqual(known);
          const ids = new Set(left.map(({ id }) => id));
          expect(ids.size).toBe(left.length);
          // A token takes at most 1,800 bytes. So two others and an unused end fit into half of the block.
          for (const id of recentUses.slice(-3)) if (id && model.has(id)) expect(ids).toContain(id);
          if (kind === 'add' || kind === 'use') expect(ids).toContain(token.id);
        }
      }),
    );
  });

  test('take about as many bytes as their texts, and fill the block in every lap before one is overwritten', () => {
    const block = new PackedTokens(100_000);
    const numbers = () => all(block).map(({ served }) => served.record.generation);
    for (let number = 0; number < 2_000; number += 1) {
      block.add(tokenOf({ unionId: `account-${number}`, accessToken: 'x'.repeat(200), generation: number }), true);
      if (number < 250) continue;
      const first = number - block.size + 1;
      expect(numbers()).toEqual(Array.from({ length: block.size }, (_, index) => first + index));
      expect(block.size).toBeGreaterThan(200);
      expect(block.bytes).toBeGreaterThan(95_500);
    }
  });

  test('are not replaced by an older token of the terminal', () => {
    const block = new PackedTokens(10_000);
    const newer = tokenOf({ generation: 2, accessToken: 'newer' });
    expect(block.add(newer, true)).toEqual(newer);
    expect(block.add(tokenOf({ generation: 1 }), true)).toEqual(newer);
    expect(all(block)).toEqual([newer]);
    const sameGeneration = tokenOf({ generation: 2, accessToken: 'other' });
    expect(block.add(sameGeneration, true)).toEqual(sameGeneration);
    expect(all(block)).toEqual([sameGeneration]);
  });

  test('keep the renewal time and the read mark when they are added again, and no other token gets them', () => {
    const block = new PackedTokens(10_000);
    const tablet = tokenOf({ uniqueId: 'tablet', generation: 2, read: false });
    const token = tokenOf({ generation: 2, read: false });
    for (const one of [tablet, token, tokenOf({ unionId: 'bob', generation: 2, read: false })]) block.add(one, true);
    expect(block.setRead(token.id, 1, true)).toBe(false);
    block.setRenewFrom(token.id, 1, 5);
    expect(block.find(token.id)).toEqual(token);
    expect([1, 2].map(() => block.setRead(token.id, 2, true))).toEqual([true, false]);
    block.setRenewFrom(token.id, 2, 5);
    expect(block.find(tablet.id)).toEqual(tablet);
    const again = tokenOf({ generation: 2, read: true, checkedAt: 3, erasedAt: 1, renewFrom: 5 });
    expect(block.add({ ...token, checkedAt: 3, erasedAt: 1 }, true)).toEqual(again);
    expect(block.find(token.id)).toEqual(again);
    expect(block.setRead(token.id, 2, false)).toBe(true);
    expect(block.find(token.id)?.served.record.read).toBe(false);
    expect(block.setRead(tokenOf({ unionId: 'carol' }).id, 2, true)).toBe(false);
    for (const other of [{ accessToken: 'other' }, { accessToken: 'other', generation: 3 }]) {
      const unread = tokenOf({ generation: 2, read: false, ...other });
      expect(block.add(unread, true)).toEqual(unread);
      expect(block.find(token.id)).toEqual(unread);
    }
  });

  test('overwrite no others when one is read or renewed again and again', () => {
    const block = new PackedTokens(100_000);
    for (let number = 0; number < 150; number += 1)
      block.add(tokenOf({ unionId: `account-${number}`, accessToken: 'token-0000' }), true);
    const { bytes } = block;
    for (let checkedAt = 0; checkedAt < 1_000; checkedAt += 1) {
      const accessToken = `token-${1_000 + checkedAt}`;
      block.add(tokenOf({ unionId: 'account-149', checkedAt, accessToken, generation: checkedAt }), true);
    }
    expect([block.size, block.bytes]).toEqual([150, bytes]);
    expect(block.find(tokenOf({ unionId: 'account-149' }).id)?.checkedAt).toBe(999);
  });

  test('stay if they are read again before half of the block is overwritten, and otherwise in their turn', () => {
    const block = new PackedTokens(100_000);
    const [used, renewed, unused] = ['used', 'renewed', 'unused'].map((unionId) => tokenOf({ unionId }));
    for (const token of [used, renewed, unused]) if (token) block.add(token, true);
    for (let number = 0; number < 2_000; number += 1) {
      block.add(tokenOf({ unionId: `account-${number}` }), true);
      if (used && number % 50 === 0) block.add(used, true);
      // A renewal is no read.
      if (renewed && block.find(renewed.id)) block.add(renewed, false);
    }
    const isKnown = [used, renewed, unused].map((token) => token && block.find(token.id) !== undefined);
    expect(isKnown).toEqual([true, false, false]);
  });

  test('do not include a token that is larger than the block, nor its former one', () => {
    const block = new PackedTokens(2_000);
    block.add(tokenOf(), true);
    block.add(tokenOf({ accessToken: 'x'.repeat(2_000) }), true);
    expect([block.size, block.find(tokenOf().id)]).toEqual([0, undefined]);
    block.add(tokenOf(), true);
    expect(block.size).toBe(1);
  });

  test('work in the largest block', () => {
    const block = new PackedTokens(2 ** 40);
    block.add(tokenOf(), true);
    expect(all(block)).toEqual([tokenOf()]);
  });

  test('can be listed while new ones overwrite them', () => {
    const block = new PackedTokens(6_000);
    const tokens = Array.from({ length: 60 }, (_, number) =>
      tokenOf({ unionId: `account-${number}`, generation: number, accessToken: 'x'.repeat(17 * (number % 11)) }),
    );
    for (const token of tokens.slice(0, 20)) block.add(token, true);
    const rest = tokens.slice(20);
    const listed: number[] = [];
    for (const { id, served } of block.tokens(Number.POSITIVE_INFINITY, 0)) {
      const { generation } = served.record;
      listed.push(generation);
      expect(id).toBe(tokens[generation]?.id);
      for (const token of rest.splice(0, 3)) block.add(token, true);
    }
    expect(listed).toEqual(listed.toSorted((one, other) => one - other));
    expect(listed.at(-1)).toBe(59);
    expect(new Set(listed).size).toBe(listed.length);
  });

  test('are listed only if the store confirmed them up to a time, and if they have not ended', () => {
    const block = new PackedTokens(10_000);
    for (const checkedAt of [Number.NEGATIVE_INFINITY, 4, 5])
      block.add(tokenOf({ unionId: `${checkedAt}`, checkedAt }), true);
    expect([...block.tokens(4, 1e13 - 1)].map(({ checkedAt }) => checkedAt)).toEqual([Number.NEGATIVE_INFINITY, 4]);
    expect([...block.tokens(4, 1e13)]).toEqual([]);
  });
});
