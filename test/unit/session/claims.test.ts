import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ClaimNames, principalFrom, principalFromServer } from '../../../src/session/claims.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { START_MS } from './sessions.ts';

const EXPIRES_AT = 1_767_225_600_000;
/** The sessions of these tests begin at any time. */
const CLOCK = { ...systemClock, now: () => Number.MAX_SAFE_INTEGER };
const NAMES: ClaimNames = { unionId: 'sub', region: 'region' };

function refusal(claims: object, names = NAMES): BrokerError {
  try {
    principalFrom(claims, names, EXPIRES_AT, CLOCK);
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error('the claims were accepted');
}

describe('the principal in the claims', () => {
  it('has the account, the country in upper case and the end of the session', () => {
    expect(principalFrom({ sub: 'u-1', region: 'cn' }, NAMES, EXPIRES_AT, CLOCK)).toEqual({
      unionId: 'u-1',
      region: 'CN',
      app: undefined,
      issuedAt: undefined,
      expiresAt: EXPIRES_AT,
    });
  });

  it('has the time of issue if the claim is a number', () => {
    const issuedAt = (iat: unknown) => principalFrom({ sub: 'u-1', iat }, NAMES, EXPIRES_AT, CLOCK).issuedAt;
    expect(issuedAt(1_767_139_200)).toBe(1_767_139_200_000);
    expect(issuedAt(0)).toBe(0);
    for (const iat of [undefined, null, '1767139200', Number.NaN, true, {}]) {
      expect(issuedAt(iat)).toBeUndefined();
    }
  });

  it.each(['iat', 'nbf', 'exp'])('is refused with a %s after the year 9999: it is in milliseconds', (name) => {
    expect(principalFrom({ sub: 'u-1', [name]: 253_402_300_799 }, NAMES, EXPIRES_AT, CLOCK).unionId).toBe('u-1');
    for (const time of [253_402_300_800, START_MS, 1e306, Number.POSITIVE_INFINITY]) {
      const error = refusal({ sub: 'u-1', [name]: time });
      expect(error.code).toBe('session_invalid');
      expect(error.detail).toBe(`The session's claim ${name} must be in seconds since 1970, not in milliseconds`);
    }
  });

  it('is bound to an app only if the app claim is configured', () => {
    const claims = { sub: 'u-1', app: 'ios', session: { edition: 'Android-2.0_beta' } };
    expect(principalFrom(claims, NAMES, EXPIRES_AT, CLOCK).app).toBeUndefined();
    expect(principalFrom(claims, { ...NAMES, app: 'app' }, EXPIRES_AT, CLOCK).app).toBe('ios');
    expect(principalFrom(claims, { ...NAMES, app: 'session.edition' }, EXPIRES_AT, CLOCK).app).toBe('Android-2.0_beta');
    expect(principalFrom(claims, { ...NAMES, app: 'edition' }, EXPIRES_AT, CLOCK).app).toBeUndefined();
    expect(principalFrom({ sub: 'u-1', app: null }, { ...NAMES, app: 'app' }, EXPIRES_AT, CLOCK).app).toBeUndefined();
    const longest = 'a'.repeat(64);
    expect(principalFrom({ sub: 'u-1', app: longest }, { ...NAMES, app: 'app' }, EXPIRES_AT, CLOCK).app).toBe(longest);
  });

  it('has no country if the session does not name one', () => {
    expect(principalFrom({ sub: 'u-1' }, NAMES, EXPIRES_AT, CLOCK).region).toBeUndefined();
    expect(principalFrom({ sub: 'u-1', region: null }, NAMES, EXPIRES_AT, CLOCK).region).toBeUndefined();
    expect(
      principalFrom({ sub: 'u-1' }, { ...NAMES, region: 'address.country' }, EXPIRES_AT, CLOCK).region,
    ).toBeUndefined();
    for (const address of ['CN', null, 86]) {
      const claims = { sub: 'u-1', address };
      expect(principalFrom(claims, { ...NAMES, region: 'address.country' }, EXPIRES_AT, CLOCK).region).toBeUndefined();
    }
  });

  it('is found along a dotted path', () => {
    const names = { unionId: 'user.id', region: 'user.address.country' };
    const claims = { user: { id: 'u-1', address: { country: 'de' } } };
    expect(principalFrom(claims, names, EXPIRES_AT, CLOCK)).toMatchObject({ unionId: 'u-1', region: 'DE' });
  });

  it('prefers a claim whose own name contains dots', () => {
    const unionId = 'https://example.com/union_id';
    expect(principalFrom({ [unionId]: 'u-1' }, { ...NAMES, unionId }, EXPIRES_AT, CLOCK).unionId).toBe('u-1');
    const both = { 'user.id': 'literal', user: { id: 'nested' } };
    expect(principalFrom(both, { ...NAMES, unionId: 'user.id' }, EXPIRES_AT, CLOCK).unionId).toBe('literal');
  });

  it('is never read from inherited properties', () => {
    const inherited: object = Object.create({ sub: 'u-1' });
    expect(refusal(inherited).code).toBe('session_invalid');
    expect(refusal({}, { ...NAMES, unionId: 'constructor.name' }).code).toBe('session_invalid');
  });

  it('has every well-formed account of 1 to 128 characters unchanged', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 128 }), (unionId) => {
        expect(principalFrom({ sub: unionId }, NAMES, EXPIRES_AT, CLOCK).unionId).toBe(unionId);
      }),
    );
    const astral = '🙂'.repeat(128);
    expect(principalFrom({ sub: astral }, NAMES, EXPIRES_AT, CLOCK).unionId).toBe(astral);
  });

  it.each([
    ['missing', undefined],
    ['null', null],
    ['empty', ''],
    ['a number', 47114711],
    ['an object', { id: 'somebody' }],
    ['a list', ['somebody']],
    ['129 characters long', 'x'.repeat(129)],
    ['129 astral characters long', '🙂'.repeat(129)],
    ['not well-formed', 'somebody\ud800'],
  ])('does not accept an account that is %s; the error names the claim and not its value', (_what, sub) => {
    const error = refusal({ sub });
    expect(error.code).toBe('session_invalid');
    expect(error.detail).toBe("The session's claim sub must be a string of 1 to 128 Unicode characters");
  });

  it.each([
    [''],
    ['C'],
    ['CHN'],
    ['C1'],
    ['CN\n'],
    ['ſſ'],
    [86],
    [['CN']],
    [{ code: 'CN' }],
    [true],
    ['UK'],
    ['eu'],
    ['XK'],
    ['ZZ'],
  ])('does not accept %j as a country', (region) => {
    const error = refusal({ sub: 'u-1', region });
    expect(error.code).toBe('session_invalid');
    expect(error.detail).toContain('claim region must be a two-letter country code');
  });

  it.each([
    [''],
    ['a'.repeat(65)],
    ['ios app'],
    ['ios\n'],
    ['ïos'],
    ['a/b'],
    [1],
    [true],
    [['ios']],
    [{ name: 'ios' }],
  ])('does not accept %j as an app', (app) => {
    const error = refusal({ sub: 'u-1', app }, { ...NAMES, app: 'app' });
    expect(error.code).toBe('session_invalid');
    expect(error.detail).toBe(
      `The session's claim app must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" or "-" if it is present`,
    );
  });
});

describe('the principal in the answer of a session server', () => {
  const clock = { ...systemClock, now: () => START_MS };
  const read = (claims: object) => principalFromServer({ sub: 'u-1', ...claims }, NAMES, clock);
  const seconds = START_MS / 1_000;

  it('has its times from numbers, and from strings of whole seconds', () => {
    const times = { issuedAt: START_MS - 5_000, expiresAt: START_MS + 60_000 };
    expect(read({ iat: seconds - 5, exp: seconds + 60 })).toMatchObject(times);
    expect(read({ iat: `${seconds - 5}`, exp: `${seconds + 60}`, nbf: `${seconds - 5}` })).toMatchObject(times);
    expect(() => read({ exp: `${seconds}` })).toThrow(expect.objectContaining({ code: 'session_expired' }));
  });

  it.each(['iat', 'nbf'])('may have a %s up to 60 s ahead of the clock', (name) => {
    for (const ahead of [seconds + 60, `${seconds + 60}`]) expect(read({ [name]: ahead }).unionId).toBe('u-1');
    const refused = expect.objectContaining({
      code: 'session_invalid',
      detail: `The session's claim ${name} must be at most 60 s ahead of the broker's clock`,
    });
    for (const ahead of [seconds + 61, seconds + 60.1]) expect(() => read({ [name]: ahead })).toThrow(refused);
  });

  it.each(['iat', 'nbf', 'exp'])('is refused with a %s in milliseconds, also in a string', (name) => {
    const refused = expect.objectContaining({
      code: 'session_invalid',
      detail: `The session's claim ${name} must be in seconds since 1970, not in milliseconds`,
    });
    expect(() => read({ [name]: START_MS })).toThrow(refused);
    expect(() => read({ [name]: `${START_MS}` })).toThrow(refused);
  });

  it.each(['iat', 'nbf', 'exp'])('is not judged with a %s that is no number, and the cause names the claim', (name) => {
    for (const value of ['', 'soon', '2026-01-01T00:00:00Z', '1e9', ' 1', '-1', '1.5', true, false, {}, [1]]) {
      const cause = expect.objectContaining({ message: `The claim ${name} in the answer is not a number` });
      expect(() => read({ [name]: value })).toThrow(
        expect.objectContaining({ code: 'session_check_unavailable', cause }),
      );
    }
    expect(read({ [name]: null })).toEqual(read({}));
  });
});
