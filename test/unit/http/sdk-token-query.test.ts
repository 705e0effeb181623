import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logOutQuery, sdkTokenQuery, terminalQuery, terminalTokenQuery } from '../../../src/http/openapi/schemas.ts';
import { queryCheck } from '../../../src/http/requested-subject.ts';
import { parseQueryString } from '../../../src/http/server/server.ts';

const checkRead = queryCheck('uniqueId', 'app', 'regRegion');
const check = (query: string) => checkRead(parseQueryString(query));

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

  it('may hold no more than the route knows', () => {
    expect(() => queryCheck('uniqueId', 'app')({ uniqueId: 'a', regRegion: 'DE' })).toThrow(
      expect.objectContaining({ message: 'Unknown query parameter; allowed are uniqueId, app' }),
    );
    expect(() => queryCheck()({ app: 'a' })).toThrow(
      expect.objectContaining({ message: 'Unknown query parameter; none is allowed' }),
    );
  });

  it.each([
    // Whether it may be left out depends on the terminal policy.
    ['GET /sdk-token', checkRead, sdkTokenQuery.partial({ uniqueId: true })],
    ['DELETE /sdk-token', queryCheck('uniqueId', 'app'), logOutQuery.partial({ uniqueId: true })],
    ['the internal token read', queryCheck('app', 'regRegion'), terminalTokenQuery],
    ['the internal logout', queryCheck('app'), terminalQuery],
  ])('is checked as its schema documents it: %s', (_route, checkQuery, schema) => {
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
          checkQuery(query);
        } catch {
          accepted = false;
        }
        return accepted === schema.safeParse(query).success;
      }),
      { numRuns: 500 },
    );
  });
});
