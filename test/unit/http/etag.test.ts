import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noneMatchNames } from '../../../src/http/token-answer.ts';

const ETAG = '"abc-_1"';

describe('noneMatchNames', () => {
  it.each([ETAG, `W/${ETAG}`, '*', ` ${ETAG} `, `"x", ${ETAG}`, `"x",W/${ETAG}`, `${ETAG},"y"`, `"a,b", ${ETAG}`])(
    'finds the tag in %j',
    (header) => {
      expect(noneMatchNames(header, ETAG)).toBe(true);
    },
  );

  it.each([
    undefined,
    '',
    '"other"',
    'abc-_1',
    'w/"abc-_1"',
    'W/W/"abc-_1"',
    '"abc-_1',
    `"x${ETAG}`,
    '"*"',
    '"a,abc-_1"',
  ])('does not find it in %j', (header) => {
    expect(noneMatchNames(header, ETAG)).toBe(false);
  });

  it('finds a tag in a list exactly when the list has it', () => {
    const tag = fc.stringMatching(/^(W\/)?"[!#-~]{0,6}"$/);
    fc.assert(
      fc.property(fc.array(tag, { maxLength: 5 }), fc.boolean(), (others, present) => {
        const foreign = others.filter((other) => other.replace(/^W\//, '') !== ETAG);
        const list = present ? [...foreign, ETAG] : foreign;
        return noneMatchNames(list.join(', '), ETAG) === present;
      }),
    );
  });
});
