import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ASSIGNED_REGION_PATTERN,
  accountOf,
  isSubjectId,
  isTextUpTo,
  subjectId,
  terminalOf,
  UNIQUE_ID_PATTERN,
  withAccessId,
} from '../../../src/token/subject.ts';
import { anySubject, differentSubjects } from './subjects.ts';

describe('a subject id', () => {
  test('is never shared by different subjects, and its account half only by terminals and apps of one account', () => {
    fc.assert(
      fc.property(differentSubjects, (subjects) => {
        const ids = subjects.map(subjectId);
        expect(new Set(ids).size).toBe(subjects.length);
        expect(new Set(ids.map(accountOf)).size).toBe(new Set(subjects.map(({ unionId }) => unionId)).size);
      }),
    );
  });

  test('is always the same, with 44 base64url characters: one half for the account, one for the terminal', () => {
    fc.assert(
      fc.property(anySubject, (subject) => {
        const id = subjectId(subject);
        expect(subjectId({ ...subject })).toBe(id);
        expect(id).toMatch(/^[A-Za-z0-9_-]{44}$/);
        expect(accountOf(id)).toHaveLength(22);
        expect(accountOf(id) + terminalOf(id)).toBe(id);
        expect([isSubjectId(id), isSubjectId(accountOf(id))]).toEqual([true, false]);
      }),
    );
  });

  test('does not change between releases, because that would lose every stored token', () => {
    const id = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
    expect(id).toBe('K9gGyX8OAK8aH8Myj6djqSbejqQOk2FSQq4cnvobAafe');
  });
});

describe('a uniqueId', () => {
  test.each(['x', '!', '~', 'a'.repeat(128), '{"quoted":1}', '...', '.a', 'a.', './'])('may be %j', (uniqueId) => {
    expect(UNIQUE_ID_PATTERN.test(uniqueId)).toBe(true);
  });

  test.each(['', ' ', 'a b', 'a\n', '\x7f', 'é', 'a'.repeat(129), '.', '..', '..\n'])('may not be %j', (uniqueId) => {
    expect(UNIQUE_ID_PATTERN.test(uniqueId)).toBe(false);
  });
});

describe('a text of up to 3 characters', () => {
  test.each(['a', 'abc', '😀😀😀', ' ', '\0'])('may be %j', (text) => {
    expect(isTextUpTo(3, text)).toBe(true);
  });

  test.each(['', 'abcd', '😀😀😀😀', 'a\ud800', '\udc00'])('may not be %j', (text) => {
    expect(isTextUpTo(3, text)).toBe(false);
  });
});

describe('the accessIds of an account', () => {
  test.each([
    ['abc', 'x', 'xabc'],
    ['abc', 'c', 'cab'],
  ])('are each once, and the newest first: %s and %s → %s', (known, newest, expected) => {
    expect(withAccessId([...known], newest)).toEqual([...expected]);
  });

  test('are its last 64', () => {
    const known = Array.from({ length: 64 }, (_, number) => `${number}`);
    expect(withAccessId(known, 'newest')).toEqual(['newest', ...known.slice(0, 63)]);
    expect(withAccessId(known, '63')).toEqual(['63', ...known.slice(0, 63)]);
  });
});

describe('an assigned region', () => {
  const LETTERS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
  const CODES = LETTERS.flatMap((first) => LETTERS.map((second) => first + second));
  const assigned = CODES.filter((code) => ASSIGNED_REGION_PATTERN.test(code));
  const names = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' });

  test('is one of the 249 codes of ISO 3166-1, and each of them has a name', () => {
    expect(assigned).toHaveLength(249);
    expect(assigned.filter((code) => names.of(code) === undefined)).toEqual([]);
  });

  test('is every code with a name that is not reserved, withdrawn or for private use', () => {
    const named = CODES.filter((code) => names.of(code) !== undefined && !assigned.includes(code));
    // Reserved: AC CP CQ DG EA EU EZ IC TA UK UN. For private use: QO XA XB XK ZZ. The others were withdrawn.
    expect(named.filter((code) => !/^(AC|CP|CQ|DG|EA|EU|EZ|IC|TA|UK|UN|QO|QU|X[ABK]|ZZ)$/.test(code))).toEqual(
      named.filter((code) =>
        /^(AN|BU|CS|CT|DD|DY|FQ|FX|HV|JT|MI|NH|NQ|NT|PC|PU|PZ|RH|SU|TP|VD|WK|YD|YU|ZR)$/.test(code),
      ),
    );
  });

  test.each(['de', 'DEU', 'D', '', 'DE\n', ' DE', 'ZZ', 'AA', 'XK', 'EU', 'UK'])('is not %j', (code) => {
    expect(ASSIGNED_REGION_PATTERN.test(code)).toBe(false);
  });
});
