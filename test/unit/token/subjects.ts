import fc from 'fast-check';
import type { Subject } from '../../../src/token/subject.ts';
import { anyText } from '../vendor-api/any-text.ts';

/** Parts made of what could blur the border between them, so that near-collisions are common. */
const delimiters = fc.string({ unit: fc.constantFrom('a', '"', ',', '[', ']', '\\', ':', ' ', '\0'), maxLength: 3 });
/** As `delimiters`, with halves of a character: a JavaScript string may hold them, UTF-8 cannot. */
const halves = fc.string({ unit: fc.constantFrom('a', '"', ',', '\ud800', '\udc00'), maxLength: 3 });
const anyPart = fc.oneof(delimiters, halves, anyText(0));

/** An account's id is well-formed Unicode: the session verifier lets nothing else through. */
const unionId = fc.oneof(delimiters, fc.string({ unit: 'binary' }));

export const anySubject: fc.Arbitrary<Subject> = fc.record({ app: anyPart, unionId, uniqueId: anyPart });

/** Subjects of which no two are the same. */
export const differentSubjects: fc.Arbitrary<Subject[]> = fc.uniqueArray(anySubject, {
  minLength: 2,
  maxLength: 30,
  comparator: (one, other) => one.app === other.app && one.unionId === other.unionId && one.uniqueId === other.uniqueId,
});
