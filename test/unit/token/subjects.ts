import fc from 'fast-check';
import type { Subject } from '../../../src/token/subject.ts';
import { anyText, wellFormedText } from '../../support/any-text.ts';

/** Strings of separator characters. They make near-collisions of joined parts likely. */
const delimiters = fc.string({ unit: fc.constantFrom('a', '"', ',', '[', ']', '\\', ':', ' ', '\0'), maxLength: 3 });
/** Like `delimiters`, but with lone surrogates, which JavaScript strings allow and UTF-8 does not. */
const loneSurrogates = fc.string({ unit: fc.constantFrom('a', '"', ',', '\ud800', '\udc00'), maxLength: 3 });
const anyPart = fc.oneof(delimiters, loneSurrogates, anyText(0));

/** The session verifier only accepts a unionId that is well-formed Unicode. */
const unionId = fc.oneof(delimiters, wellFormedText());

export const anySubject: fc.Arbitrary<Subject> = fc.record({ app: anyPart, unionId, uniqueId: anyPart });

/** Subjects that all differ. */
export const differentSubjects: fc.Arbitrary<Subject[]> = fc.uniqueArray(anySubject, {
  minLength: 2,
  maxLength: 30,
  comparator: (one, other) => one.app === other.app && one.unionId === other.unionId && one.uniqueId === other.uniqueId,
});
