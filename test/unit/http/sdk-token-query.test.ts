import { describe, expect, it } from 'vitest';
import { noQuery } from '../../../src/http/routes/accounts.ts';
import { logOutQuery, sdkTokenQuery } from '../../../src/http/routes/sdk-token.ts';
import { parseQueryString } from '../../../src/http/server/validation.ts';
import { refusalDetail, validated } from './validated.ts';

const check = (query: string) => validated(sdkTokenQuery, 'querystring', parseQueryString(query));
const detailOf = (query: string) => refusalDetail(sdkTokenQuery, 'querystring', parseQueryString(query));

describe('the query of /sdk-token', () => {
  it('accepts a terminal alone, or with an app and a country', () => {
    expect(check('uniqueId=phone-1')).toEqual({ uniqueId: 'phone-1' });
    expect(check('uniqueId=phone-1&app=ios&regRegion=DE')).toEqual({
      uniqueId: 'phone-1',
      app: 'ios',
      regRegion: 'DE',
    });
  });

  it('turns a reported token into its entity tag, of at most 64 characters', () => {
    for (const tag of ['abc-_1', 'a'.repeat(64)])
      expect(check(`uniqueId=a&refused=${tag}`)).toMatchObject({ refused: `"${tag}"` });
  });

  it('decodes percent-encoding', () => {
    expect(check('unique%49d=a%2Bb%25zz%26')).toEqual({ uniqueId: 'a+b%zz&' });
  });

  const UNIQUE_ID = 'uniqueId must be 1 to 128 visible ASCII characters, and not . or .. alone';
  const APP = 'app must be 1 to 64 of the characters A-Z a-z 0-9 . _ -';
  const REGION = 'regRegion must be an assigned country code of ISO 3166-1 alpha-2, two letters in upper case';
  const REFUSED =
    'refused must be the ETag of the refused token without its quotation marks, 1 to 64 of the characters A-Z a-z 0-9 _ -';
  const UNKNOWN = 'Unknown query parameter; allowed are uniqueId, app, regRegion, refused';

  it.each([
    ...['', '=', '=.', '=..', '=%2E%2e', `=${'a'.repeat(129)}`, '=a+b', '=%C3%A9'].map((value) => [
      `uniqueId${value}`,
      UNIQUE_ID,
    ]),
    ...['a', 'b'].map((second) => [`uniqueId=a&uniqueId=${second}`, 'uniqueId may be given once']),
    ...['', '*', '%22a%22', 'W/%22a%22', 'a,b', 'a%0A', 'a'.repeat(65)].map((tag) => [
      `uniqueId=a&refused=${tag}`,
      REFUSED,
    ]),
    ['uniqueId=a&refused=a&refused=a', 'refused may be given once'],
    ...['', 'a'.repeat(65)].map((app) => [`uniqueId=a&app=${app}`, APP]),
    ...['de', 'ZZ', 'XK', 'EU', 'DE%0A'].map((region) => [`uniqueId=a&regRegion=${region}`, REGION]),
    ...['unionId', 'uniqueID', '__proto__', 'constructor'].map((name) => [`uniqueId=a&${name}=b`, UNKNOWN]),
    [`uniqueId=a${'&'.repeat(1_100)}unionId=b`, UNKNOWN],
  ])('refuses %j and says what is allowed', (query = '', detail) => {
    expect(detailOf(query)).toBe(detail);
  });

  it.each(['uniqueId=%zz', 'uniqueId=a%', 'uniqueId=%ff', 'uniqueId=%C3', 'uniqueId=a&app=%4', 'uniqueId=a&%zz=b'])(
    'refuses malformed percent-encoding: %j',
    (query) => {
      expect(detailOf(query)).not.toBe('');
    },
  );

  it('is not decoded any more after ten malformed parts: the error of each would take 7 µs', () => {
    const names = (malformed: number) => Object.keys(parseQueryString(`${'%&'.repeat(malformed)}uniqueId=a`));
    expect(names(9)).toContain('uniqueId');
    expect(names(10)).not.toContain('uniqueId');
    expect(detailOf(`${'%&'.repeat(10)}uniqueId=a`)).toContain('Unknown query parameter');
  });

  it('never echoes a value', () => {
    expect(detailOf('uniqueId=canary%20canary')).not.toContain('canary');
    expect(detailOf('uniqueId=a&canary=1')).not.toContain('canary');
  });

  it('is refused if it has a parameter that the route does not know', () => {
    expect(refusalDetail(logOutQuery, 'querystring', { uniqueId: 'a', regRegion: 'DE' })).toBe(
      'Unknown query parameter; allowed are uniqueId, app',
    );
    expect(refusalDetail(noQuery, 'querystring', { app: 'a' })).toBe('Unknown query parameter; none is allowed');
  });
});
