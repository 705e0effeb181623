import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SubjectIds } from '../../../src/broker/subject-ids.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';

const part = (unit: fc.Arbitrary<string>) => fc.string({ unit, minLength: 1, maxLength: 4 });
const ascii = part(fc.constantFrom('a', 'b', '!', '%'));
const anything = part(fc.constantFrom('a', 'b', ' ', '!', 'é', '\0'));
const multi = fc.record({ app: ascii, unionId: anything, uniqueId: ascii });
const single = fc.record({ app: ascii, unionId: anything }).map((ids) => ({ ...ids, uniqueId: ids.unionId }));

test.each([
  ['multi', multi],
  ['single', single],
] as [string, fc.Arbitrary<Subject>][])(
  'a remembered id is the subject’s own, whatever others were asked for: %s',
  (_policy, subject) => {
    fc.assert(
      fc.property(fc.array(subject, { maxLength: 50 }), (subjects) => {
        const ids = new SubjectIds();
        for (const each of [...subjects, ...subjects]) expect(ids.of(each)).toBe(subjectId(each));
      }),
    );
  },
);
