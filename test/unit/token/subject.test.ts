import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { accountOf, subjectId, terminalOf, UNIQUE_ID_PATTERN } from '../../../src/token/subject.ts';
import { anySubject, differentSubjects } from './subjects.ts';

describe('a subject id', () => {
  test('is never shared by different subjects', () => {
    fc.assert(
      fc.property(differentSubjects, (subjects) => {
        expect(new Set(subjects.map(subjectId)).size).toBe(subjects.length);
      }),
    );
  });

  test('is the same on every computation', () => {
    fc.assert(
      fc.property(anySubject, (subject) => {
        expect(subjectId({ ...subject })).toBe(subjectId(subject));
      }),
    );
  });

  test('has 44 base64url characters: one half for the account, one half for the terminal', () => {
    fc.assert(
      fc.property(anySubject, (subject) => {
        const id = subjectId(subject);
        expect(id).toMatch(/^[A-Za-z0-9_-]{44}$/);
        expect(accountOf(id)).toHaveLength(22);
        expect(accountOf(id) + terminalOf(id)).toBe(id);
      }),
    );
  });

  test('has the same account half for all terminals and apps of an account, and another one for each other account', () => {
    fc.assert(
      fc.property(differentSubjects, (subjects) => {
        const accounts = new Set(subjects.map(({ unionId }) => unionId));
        const halves = new Set(subjects.map((subject) => accountOf(subjectId(subject))));
        expect(halves.size).toBe(accounts.size);
      }),
    );
  });

  test('does not change between releases, because that would lose every stored token', () => {
    const id = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
    expect(id).toBe('K9gGyX8OAK8aH8Myj6djqSbejqQOk2FSQq4cnvobAafe');
  });
});

describe('a uniqueId', () => {
  test.each(['x', '!', '~', 'a'.repeat(128), '{"quoted":1}'])('may be %j', (uniqueId) => {
    expect(UNIQUE_ID_PATTERN.test(uniqueId)).toBe(true);
  });

  test.each(['', ' ', 'a b', 'a\n', '\x7f', 'é', 'a'.repeat(129)])('may not be %j', (uniqueId) => {
    expect(UNIQUE_ID_PATTERN.test(uniqueId)).toBe(false);
  });
});
