import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noneMatchNames, refusedTag } from '../../../src/http/token-answer.ts';

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

describe('refusedTag', () => {
  const tagOf = (ifNoneMatch: string | undefined, cacheControl: string | undefined) =>
    refusedTag({
      ...(ifNoneMatch !== undefined && { 'if-none-match': ifNoneMatch }),
      ...(cacheControl !== undefined && { 'cache-control': cacheControl }),
    });

  it.each(['no-cache', 'No-Cache', 'max-age=0, no-cache', 'no-cache,max-age=0', 'no-store , no-cache , x=1'])(
    'is the tag of the request, with Cache-Control: %s',
    (cacheControl) => {
      expect(tagOf(ETAG, cacheControl)).toBe(ETAG);
    },
  );

  it('is the strong form of a weak tag', () => {
    expect(tagOf(`W/${ETAG}`, 'no-cache')).toBe(ETAG);
  });

  it.each([undefined, '', 'no-store', 'max-age=0', 'no-cachet', 'x-no-cache', 'no-cache=x', 'no cache'])(
    'is undefined with Cache-Control: %j',
    (cacheControl) => {
      expect(tagOf(ETAG, cacheControl)).toBeUndefined();
      expect(tagOf('*', cacheControl)).toBeUndefined();
    },
  );

  it('is undefined without If-None-Match', () => {
    expect(tagOf(undefined, 'no-cache')).toBeUndefined();
  });

  it.each(['*', '', `${ETAG}, "x"`, `${ETAG},${ETAG}`, 'abc-_1', '"abc', 'w/"abc"', `W/W/${ETAG}`, '"a"b"'])(
    'is refused for If-None-Match: %j',
    (ifNoneMatch) => {
      expect(() => tagOf(ifNoneMatch, 'no-cache')).toThrow(
        expect.objectContaining({
          code: 'request_invalid',
          message: expect.stringContaining('exactly one entity tag is allowed'),
        }),
      );
    },
  );
});
