import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQueryString } from '../../../src/http/query-string.ts';
import { sdkTokenQuery } from '../../../src/http/schemas.ts';
import { checkSdkTokenQuery } from '../../../src/http/sdk-token-query.ts';

const check = (query: string) => checkSdkTokenQuery(parseQueryString(query));

function detailOf(query: string): string {
  try {
    check(query);
  } catch (error) {
    expect(error).toMatchObject({ code: 'request_invalid' });
    return (error as Error).message;
  }
  throw new Error(`accepted: ${query}`);
}

describe('the query of /sdk-token', () => {
  it('takes a terminal alone, and an app and a country with it', () => {
    expect(check('uniqueId=phone-1')).toEqual({ uniqueId: 'phone-1' });
    expect(check('uniqueId=phone-1&app=ios&regRegion=DE')).toEqual({
      uniqueId: 'phone-1',
      app: 'ios',
      regRegion: 'DE',
    });
  });

  it('decodes what is percent-encoded', () => {
    expect(check('unique%49d=a%2Bb%25zz%26')).toEqual({ uniqueId: 'a+b%zz&' });
  });

  it.each([
    ['', 'uniqueId is required: 1 to 128 visible ASCII characters'],
    ['app=default', 'uniqueId is required: 1 to 128 visible ASCII characters'],
    ['uniqueId=', 'uniqueId must be 1 to 128 visible ASCII characters'],
    ['uniqueId', 'uniqueId must be 1 to 128 visible ASCII characters'],
    [`uniqueId=${'a'.repeat(129)}`, 'uniqueId must be 1 to 128 visible ASCII characters'],
    ['uniqueId=a+b', 'uniqueId must be 1 to 128 visible ASCII characters'],
    ['uniqueId=%C3%A9', 'uniqueId must be 1 to 128 visible ASCII characters'],
    ['uniqueId=a&uniqueId=b', 'uniqueId may be given once'],
    ['uniqueId=a&uniqueId=a', 'uniqueId may be given once'],
    ['uniqueId=a&app=', 'app must be 1 to 64 of the characters A-Z a-z 0-9 . _ -'],
    [`uniqueId=a&app=${'a'.repeat(65)}`, 'app must be 1 to 64 of the characters A-Z a-z 0-9 . _ -'],
    ['uniqueId=a&regRegion=de', 'regRegion must be a country of ISO 3166-1 alpha-2, two letters in upper case'],
    ['uniqueId=a&regRegion=DE%0A', 'regRegion must be a country of ISO 3166-1 alpha-2, two letters in upper case'],
    ['uniqueId=a&unionId=b', 'Unknown query parameter; allowed are uniqueId, app, regRegion'],
    ['uniqueId=a&uniqueID=b', 'Unknown query parameter; allowed are uniqueId, app, regRegion'],
    ['uniqueId=a&__proto__=b', 'Unknown query parameter; allowed are uniqueId, app, regRegion'],
    ['uniqueId=a&constructor=b', 'Unknown query parameter; allowed are uniqueId, app, regRegion'],
  ])('refuses %j and says what is allowed', (query, detail) => {
    expect(detailOf(query)).toBe(detail);
  });

  it.each(['uniqueId=%zz', 'uniqueId=a%', 'uniqueId=%ff', 'uniqueId=%C3', 'uniqueId=a&app=%4', 'uniqueId=a&%zz=b'])(
    'refuses the malformed percent-encoding of %j',
    (query) => {
      expect(detailOf(query)).not.toBe('');
    },
  );

  it('never repeats a value', () => {
    expect(detailOf('uniqueId=canary%20canary')).not.toContain('canary');
    expect(detailOf('uniqueId=a&canary=1')).not.toContain('canary');
  });

  it('is checked as its schema documents it', () => {
    const value = fc.oneof(
      fc.constantFrom('a', 'DE', 'de', '', 'a b', 'a'.repeat(64), 'a'.repeat(65), 'a'.repeat(128), 'a'.repeat(129)),
      fc.string({ unit: 'grapheme' }),
      fc.array(fc.string(), { maxLength: 2 }),
    );
    const name = fc.constantFrom('uniqueId', 'app', 'regRegion', 'other');
    fc.assert(
      fc.property(fc.dictionary(name, value, { noNullPrototype: false }), (query) => {
        let accepted = true;
        try {
          checkSdkTokenQuery(query);
        } catch {
          accepted = false;
        }
        return accepted === sdkTokenQuery.safeParse(query).success;
      }),
      { numRuns: 500 },
    );
  });
});
