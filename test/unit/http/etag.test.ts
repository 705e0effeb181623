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
});
