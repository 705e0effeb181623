import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type PackedToken, PackedTokens } from '../../../src/broker/packed-tokens.ts';
import { accountOf, type SubjectId, subjectId } from '../../../src/token/subject.ts';

interface Changes {
  readonly unionId?: string;
  readonly uniqueId?: string;
  readonly accessToken?: string;
  readonly generation?: number;
  readonly read?: boolean;
  readonly erasedAt?: number | undefined;
}

function tokenOf(changes: Changes = {}): PackedToken {
  const {
    unionId = 'alice',
    uniqueId = 'phone',
    accessToken = 'token',
    generation = 1,
    read = true,
    erasedAt,
  } = changes;
  const subject = { app: 'default', unionId, uniqueId };
  const token = { fields: { accessToken, expand: '{"area":"cn"}' }, issuedAt: 0.5, expiresAt: 1e13 };
  const record = { subject, region: 'CN', token, generation, read, unreadRenewals: 2 };
  return { id: subjectId(subject), record, checkedAt: -0.5, erasedAt };
}

function add(block: PackedTokens, token: PackedToken): void {
  block.add(token, JSON.stringify(token.record.token.fields));
}

const TEXTS = fc.string({ unit: 'binary', minLength: 1, maxLength: 128 });

describe('packed tokens', () => {
  test('are returned as they were added, whatever their texts and numbers', () => {
    const change = fc.record({
      unionId: TEXTS,
      uniqueId: TEXTS,
      accessToken: TEXTS,
      generation: fc.maxSafeNat(),
      read: fc.boolean(),
      erasedAt: fc.option(fc.maxSafeNat(), { nil: undefined }),
    });
    fc.assert(
      fc.property(change, (changes) => {
        const block = new PackedTokens(10_000);
        const entry = tokenOf(changes);
        add(block, entry);
        const { generation, erasedAt } = changes;
        expect(block.find(entry.id)).toEqual({ generation, erasedAt, checkedAt: entry.checkedAt });
        expect([...block.tokens()]).toEqual([entry]);
        expect(block.take(accountOf(entry.id))).toEqual([entry]);
        expect([block.find(entry.id), block.size]).toEqual([undefined, 0]);
      }),
    );
  });

  test('keep an unconfirmed token unconfirmed', () => {
    const block = new PackedTokens(10_000);
    const entry = { ...tokenOf(), checkedAt: Number.NEGATIVE_INFINITY };
    add(block, entry);
    expect(block.find(entry.id)?.checkedAt).toBe(Number.NEGATIVE_INFINITY);
  });

  test('are what was added last and not taken, and the newest ones survive, after any sequence of changes', () => {
    const maxBytes = 6_000;
    const change = fc.record({
      kind: fc.constantFrom('add', 'add', 'add', 'take'),
      // More accounts than buckets.
      unionId: fc.integer({ min: 0, max: 30 }).map((number) => `account-${number}`),
      uniqueId: fc.constantFrom('phone', 'tablet'),
      accessToken: fc.integer({ min: 0, max: 1_500 }).map((length) => 'x'.repeat(length)),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 20, maxLength: 120 }), (changes) => {
        const block = new PackedTokens(maxBytes);
        const model = new Map<SubjectId, PackedToken>();
        let generation = 0;
        for (const { kind, ...parts } of changes) {
          generation += 1;
          const entry = tokenOf({ ...parts, generation });
          if (kind === 'add') {
            add(block, entry);
            model.delete(entry.id);
            model.set(entry.id, entry);
          } else {
            for (const taken of block.take(accountOf(entry.id))) {
              expect(taken).toEqual(model.get(taken.id));
            }
            for (const id of [...model.keys()]) if (accountOf(id) === accountOf(entry.id)) model.delete(id);
          }
          const left = [...block.tokens()];
          expect(block.size).toBe(left.length);
          expect(block.bytes).toBeLessThanOrEqual(maxBytes);
          // The oldest first: those that are left are the end of the model.
          const newest = [...model.values()].slice(model.size - left.length);
          expect(left).toEqual(newest);
          for (const { id, checkedAt } of newest) expect(block.find(id)).toMatchObject({ checkedAt });
          if (kind === 'add') expect(block.find(entry.id)?.generation).toBe(generation);
        }
      }),
    );
  });

  test('take about as many bytes as their texts, and fill the block before the first is overwritten', () => {
    const block = new PackedTokens(100_000);
    let added = 0;
    while (block.size === added) {
      added += 1;
      add(block, tokenOf({ unionId: `account-${added}`, accessToken: 'x'.repeat(200) }));
    }
    expect(added).toBeGreaterThan(200);
    expect(block.bytes).toBeGreaterThan(97_000);
  });

  test('do not include a token that is larger than the block, nor its former one', () => {
    const block = new PackedTokens(2_000);
    add(block, tokenOf());
    add(block, tokenOf({ accessToken: 'x'.repeat(2_000) }));
    expect([block.size, block.find(tokenOf().id)]).toEqual([0, undefined]);
    add(block, tokenOf());
    expect(block.size).toBe(1);
  });

  test('can be listed while new ones overwrite them', () => {
    const block = new PackedTokens(6_000);
    const entries = Array.from({ length: 60 }, (_, number) =>
      tokenOf({ unionId: `account-${number}`, generation: number, accessToken: 'x'.repeat(17 * (number % 11)) }),
    );
    for (const entry of entries.slice(0, 20)) add(block, entry);
    const rest = entries.slice(20);
    const listed: number[] = [];
    for (const { id, record } of block.tokens()) {
      listed.push(record.generation);
      expect(id).toBe(entries[record.generation]?.id);
      for (const entry of rest.splice(0, 3)) add(block, entry);
    }
    expect(listed).toEqual(listed.toSorted((one, other) => one - other));
    expect(listed.at(-1)).toBe(59);
    expect(new Set(listed).size).toBe(listed.length);
  });
});
