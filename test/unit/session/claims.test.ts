import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ClaimNames,
  type ClaimSource,
  parseClaims,
  principalFrom,
  requireAccessToken,
} from '../../../src/session/claims.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { wellFormedText } from '../../support/any-text.ts';
import { START_MS } from '../../support/test-clock.ts';
import { CLAIM_NAMES } from './sessions.ts';

/** The sessions of these tests begin at any time. */
const CLOCK = { ...systemClock, now: () => Number.MAX_SAFE_INTEGER };
const NAMES = CLAIM_NAMES;

/** What frameworks say if nobody is logged in. */
const NOBODY = ['0', '-1', 'null', 'undefined', 'anonymousUser'];

const ACCOUNT_RULE =
  'must be a string of 1 to 128 Unicode characters, and not . or .. alone, or an integer of at most as many digits, ' +
  'without a fraction or an exponent';

function refusal(claims: object, names = NAMES): BrokerError {
  try {
    principalFrom(claims, names, 'introspection', CLOCK);
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error('the claims were accepted');
}

describe('the principal in the claims', () => {
  const read = (claims: object, names: Partial<ClaimNames> = {}) =>
    principalFrom({ sub: 'u-1', ...claims }, { ...NAMES, ...names }, 'introspection', CLOCK);

  it('has the account, and the country in upper case', () => {
    expect(read({ region: 'cn' })).toEqual({
      unionId: 'u-1',
      region: 'CN',
      app: undefined,
      issuedAt: undefined,
      expiresAt: Number.MAX_SAFE_INTEGER,
    });
  });

  it.each([
    [undefined, { app: 'ios' }, undefined],
    ['app', { app: 'ios' }, 'ios'],
    ['app', { app: null }, undefined],
    ['app', { app: 'a'.repeat(64) }, 'a'.repeat(64)],
    ['session.edition', { session: { edition: 'Android-2.0_beta' } }, 'Android-2.0_beta'],
    ['edition', { session: { edition: 'ios' } }, undefined],
  ])('is bound to an app only if the app claim is configured and there: %s, %j', (name, claims, app) => {
    expect(read(claims, { app: name }).app).toBe(app);
  });

  it.each([{}, { region: null }, { address: 'CN' }, { address: null }, { address: 86 }])(
    'has no country if the session does not name one: %j',
    (claims) => {
      expect(read(claims).region).toBeUndefined();
      expect(read(claims, { region: 'address.country' }).region).toBeUndefined();
    },
  );

  it('is found along a dotted path, unless a claim has that name itself', () => {
    const names = { unionId: 'user.id', region: 'user.address.country' };
    const user = { id: 'nested', address: { country: 'de' } };
    expect(read({ user }, names)).toMatchObject({ unionId: 'nested', region: 'DE' });
    expect(read({ user, 'user.id': 'literal' }, names).unionId).toBe('literal');
  });

  it('is never read from inherited properties', () => {
    const inherited: object = Object.create({ sub: 'u-1' });
    expect(refusal(inherited).code).toBe('session_invalid');
    expect(refusal({}, { ...NAMES, unionId: 'constructor.name' }).code).toBe('session_invalid');
  });

  it('has every well-formed account of 1 to 128 characters unchanged', () => {
    fc.assert(
      fc.property(wellFormedText({ minLength: 1, maxLength: 128 }), (unionId) => {
        fc.pre(![...NOBODY, '.', '..'].includes(unionId));
        expect(principalFrom({ sub: unionId }, NAMES, 'introspection', CLOCK).unionId).toBe(unionId);
      }),
    );
    const astral = '🙂'.repeat(128);
    expect(principalFrom({ sub: astral }, NAMES, 'introspection', CLOCK).unionId).toBe(astral);
  });

  it.each([
    ['missing', undefined],
    ['null', null],
    ['empty', ''],
    ['an object', { id: 'somebody' }],
    ['a list', ['somebody']],
    ['129 characters long', 'x'.repeat(129)],
    ['129 astral characters long', '🙂'.repeat(129)],
    ['not well-formed', 'somebody\ud800'],
    ['a part of a path', '..'],
  ])('does not accept an account that is %s; the error names the claim and not its value', (_what, sub) => {
    const error = refusal({ sub });
    expect(error.code).toBe('session_invalid');
    expect(error.detail).toBe(`The session's claim sub ${ACCOUNT_RULE}`);
  });

  it.each(['', 'C', 'CHN', 'C1', 'CN\n', 'ſſ', 86, ['CN'], { code: 'CN' }, true, 'UK', 'eu', 'XK', 'ZZ'])(
    'does not accept %j as a country',
    (region) => {
      const error = refusal({ sub: 'u-1', region });
      expect(error.code).toBe('session_invalid');
      expect(error.detail).toContain('claim region must be a two-letter country code');
    },
  );

  it.each(['', 'a'.repeat(65), 'ios app', 'ios\n', 'ïos', 'a/b', 1, true, ['ios'], { name: 'ios' }])(
    'does not accept %j as an app',
    (app) => {
      const error = refusal({ sub: 'u-1', app }, { ...NAMES, app: 'app' });
      expect(error.code).toBe('session_invalid');
      expect(error.detail).toBe(
        `The session's claim app must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" or "-" if it is present`,
      );
    },
  );
});

describe('an account that decides nothing about the session', () => {
  const expectUndecided = (sub: unknown, source: ClaimSource, message: string) => {
    const cause = expect.objectContaining({ message });
    const error = expect.objectContaining({ code: 'session_check_unavailable', cause });
    expect(() => principalFrom({ sub, exp: Number.MAX_SAFE_INTEGER }, NAMES, source, CLOCK)).toThrow(error);
  };

  it.each([undefined, null])('is %s in mode forward', (sub) => {
    const missing = 'The claim sub in the answer is missing. It is the account (SESSION_CLAIM_UNION_ID)';
    expectUndecided(sub, 'forward', missing);
  });

  it.each(['', 1.5, {}, 'x'.repeat(129)])('is %j in mode forward', (sub) => {
    expectUndecided(sub, 'forward', `The claim sub in the answer ${ACCOUNT_RULE}`);
  });

  it.each(['jwt', 'introspection', 'forward'] as const)('is what frameworks say for nobody, in mode %s', (source) => {
    const claim = source === 'jwt' ? "The session's claim sub" : 'The claim sub in the answer';
    for (const sub of [...NOBODY, 0n, -1n]) {
      expectUndecided(sub, source, `${claim} is ${sub}, which means that nobody is logged in`);
    }
  });
});

describe.each(['jwt', 'introspection', 'forward'] as const)('the times of a session in mode %s', (source) => {
  const clock = { ...systemClock, now: () => START_MS };
  const seconds = START_MS / 1_000;
  const names = { ...NAMES, issuedAt: 'login.at', expiresAt: 'login.until' };
  const read = (login: object, timeUnit: 's' | 'ms' = 's', more = {}) =>
    principalFrom(
      { sub: 'u-1', login: { until: timeUnit === 's' ? seconds + 60 : START_MS + 60_000, ...login }, ...more },
      { ...names, timeUnit },
      source,
      clock,
    );
  const refused = (rule: string) =>
    expect.objectContaining({ code: 'session_invalid', detail: `The session's claim ${rule}` });

  it('are found along their paths, and have the unit that is configured', () => {
    const times = { issuedAt: START_MS - 5_000, expiresAt: START_MS + 90_000 };
    expect(read({ at: seconds - 5, until: seconds + 90 })).toMatchObject(times);
    expect(read({ at: START_MS - 5_000, until: START_MS + 90_000 }, 'ms')).toMatchObject(times);
    expect(read({ at: START_MS - 4_321, until: START_MS + 1 }, 'ms')).toMatchObject({ issuedAt: START_MS - 4_321 });
    expect(read({ until: 253_402_300_799 }).expiresAt).toBe(253_402_300_799_000);
    expect(read({ until: 253_402_300_799_999 }, 'ms').expiresAt).toBe(253_402_300_799_999);
  });

  it('are those of the configured claims only', () => {
    expect(read({ at: seconds }, 's', { iat: 1, exp: 1 })).toMatchObject({ issuedAt: START_MS });
  });

  it.each(['at', 'until'])('are refused in another unit, which is named: %s', (name) => {
    for (const value of [253_402_300_800, START_MS, 1e306, Number.POSITIVE_INFINITY]) {
      const rule = `login.${name} must be in seconds since 1970, not in milliseconds`;
      expect(() => read({ [name]: value })).toThrow(refused(rule));
    }
    for (const value of [seconds, 0, -1, 253_402_300_799]) {
      const rule = `login.${name} must be in milliseconds since 1970, not in seconds`;
      expect(() => read({ [name]: value }, 'ms')).toThrow(refused(rule));
    }
    for (const value of [253_402_300_800_000, START_MS * 1_000]) {
      const rule = `login.${name} must be in milliseconds since 1970, not in microseconds`;
      expect(() => read({ [name]: value }, 'ms')).toThrow(refused(rule));
    }
  });

  it('end the session, to the millisecond', () => {
    const expired = expect.objectContaining({ code: 'session_expired' });
    for (const until of [seconds, seconds - 1, 0]) expect(() => read({ until })).toThrow(expired);
    expect(read({ until: seconds + 0.001 }).expiresAt).toBe(START_MS + 1);
    expect(() => read({ until: START_MS }, 'ms')).toThrow(expired);
  });

  it('may be up to 60 s ahead of the clock, in the unit of each, and nbf is in seconds', () => {
    expect(read({ at: seconds + 60 }).issuedAt).toBe(START_MS + 60_000);
    expect(read({ at: START_MS + 60_000 }, 'ms', { nbf: seconds + 60 }).issuedAt).toBe(START_MS + 60_000);
    const ahead = "must be at most 60 s ahead of the broker's clock";
    expect(() => read({ at: seconds + 60.1 })).toThrow(refused(`login.at ${ahead}`));
    expect(() => read({ at: START_MS + 60_001 }, 'ms')).toThrow(refused(`login.at ${ahead}`));
    expect(() => read({}, 'ms', { nbf: seconds + 61 })).toThrow(refused(`nbf ${ahead}`));
    expect(() => read({}, 'ms', { nbf: START_MS })).toThrow(
      refused('nbf must be in seconds since 1970, not in milliseconds'),
    );
  });
});

describe('the times in a JWT', () => {
  const clock = { ...systemClock, now: () => START_MS };
  const read = (claims: object) => principalFrom({ sub: 'u-1', exp: 2e9, ...claims }, NAMES, 'jwt', clock);

  it('must be numbers, and the end must be there', () => {
    for (const name of ['iat', 'nbf', 'exp']) {
      const detail = `The session's claim ${name} must be a number`;
      for (const value of [null, '1767139200', true, {}]) {
        expect(() => read({ [name]: value })).toThrow(expect.objectContaining({ code: 'session_invalid', detail }));
      }
    }
    expect(() => read({ exp: undefined })).toThrow("The session's claim exp is missing");
    expect(read({}).issuedAt).toBeUndefined();
  });
});

describe.each(['introspection', 'forward'] as const)('the times in an answer in mode %s', (source: ClaimSource) => {
  const clock = { ...systemClock, now: () => START_MS };
  const seconds = START_MS / 1_000;
  const read = (claims: object, names = NAMES) => principalFrom({ sub: 'u-1', ...claims }, names, source, clock);

  it('may be strings of whole numbers, in both units', () => {
    const times = { issuedAt: START_MS - 5_000, expiresAt: START_MS + 60_000 };
    expect(read({ iat: `${seconds - 5}`, exp: `${seconds + 60}`, nbf: `${seconds - 5}` })).toMatchObject(times);
    const inMs = { ...NAMES, timeUnit: 'ms' } as const;
    expect(read({ iat: `${START_MS - 5_000}`, exp: `${START_MS + 60_000}` }, inMs)).toMatchObject(times);
    expect(() => read({ exp: `${seconds}` })).toThrow(expect.objectContaining({ code: 'session_expired' }));
    expect(() => read({ iat: `${START_MS}` })).toThrow('must be in seconds since 1970, not in milliseconds');
  });

  it.each(['iat', 'nbf', 'exp'])('are not judged if %s is no number, and the cause names the claim', (name) => {
    for (const value of ['', 'soon', '2026-01-01T00:00:00Z', '1e9', ' 1', '-1', '1.5', true, false, {}, [1]]) {
      const cause = expect.objectContaining({ message: `The claim ${name} in the answer is not a number` });
      expect(() => read({ [name]: value })).toThrow(
        expect.objectContaining({ code: 'session_check_unavailable', cause }),
      );
    }
    expect(read({ [name]: null })).toEqual(read({}));
  });
});

describe('parsed claims', () => {
  const names = { ...NAMES, unionId: 'user.id' };
  /** The account in a text that has other numbers, another claim of this name, and a text that looks like one. */
  const accountOf = (id: string) => {
    const user = `"user":{"age":1.5e3,"id":${id},"parent":{"id":9007199254740993}}`;
    const claims = parseClaims(`{"id":1,"note":"\\"user\\":{\\"id\\":2}",${user},"iat":1767225600.5}`, names) ?? {};
    expect(claims).toMatchObject({ iat: 1767225600.5 });
    return principalFrom(claims, names, 'introspection', CLOCK).unionId;
  };
  const EDGES = [1n, 7n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];
  const integer = fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }),
    fc.bigInt({ min: 2n ** 53n - 9n, max: 2n ** 53n + 9n }),
    fc.bigInt({ min: 0n, max: 10n ** 128n - 1n }),
  );

  const accounts = integer.filter((id) => !NOBODY.includes(String(id)));

  it('have an account that is an integer of any size, up to 128 digits, digit by digit, as if it were text', () => {
    fc.assert(
      fc.property(accounts, (id) => accountOf(String(id)) === String(id) && accountOf(`"${id}"`) === String(id)),
      { examples: EDGES.map((edge): [bigint] => [edge]) },
    );
    expect(() => accountOf('-0')).toThrow(expect.objectContaining({ code: 'session_check_unavailable' }));
    expect(accountOf('9'.repeat(128))).toBe('9'.repeat(128));
    for (const id of ['9'.repeat(129), `-${'9'.repeat(128)}`]) expect(() => accountOf(id)).toThrow(ACCOUNT_RULE);
  });

  it('have no account that is a number with a fraction or an exponent', () => {
    const suffix = fc.constantFrom('.0', '.5', '.00000000000000000001', 'e0', 'E3', 'e+18', 'e-1', '.79e18', 'e999');
    fc.assert(
      fc.property(integer, suffix, (id, more) => {
        expect(() => accountOf(`${id}${more}`)).toThrow(ACCOUNT_RULE);
      }),
    );
  });

  it('have the last one of an account that stands twice', () => {
    expect(accountOf('5,"id":9007199254740993')).toBe('9007199254740993');
    expect(accountOf('9007199254740993,"id":"x"')).toBe('x');
  });

  it('are those of the text only, without one for an account that is missing', () => {
    expect(Object.keys(parseClaims('{"iat":1767225600}', NAMES) ?? {})).toEqual(['iat']);
  });

  it.each(['', '{', '[]', 'null', '"text"', '7', '{"sub":01}', '{"sub":NaN}'])('are none in %j', (text) => {
    expect(parseClaims(text, NAMES)).toBeUndefined();
  });
});

describe('an access token', () => {
  const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
  const refusal = (detail: string) => expect.objectContaining({ code: 'session_invalid', detail });

  it.each([
    {},
    { token_type: 'Bearer', token_use: 'access', typ: 'at+jwt' },
    { token_type: 7, typ: null },
    { events: { 'https://example.com/event': {} } },
    { events: EVENT },
    { cnf: null },
  ])('may say %j', (claims) => {
    expect(() => requireAccessToken(claims)).not.toThrow();
  });

  it.each([
    { token_type: 'refresh_token' },
    { token_use: 'Refresh' },
    { typ: 'Offline' },
    { typ: 'logout+jwt' },
    { events: { [EVENT]: {} } },
  ])('is not what says %j', (claims) => {
    expect(() => requireAccessToken(claims)).toThrow(
      refusal('The session must be an access token, not another kind of token'),
    );
  });

  it.each([{ token_type: 'DPoP' }, { cnf: { jkt: 'thumbprint' } }])('is not bound to a key, as with %j', (claims) => {
    expect(() => requireAccessToken(claims)).toThrow(
      refusal('The session is bound to a key of its client (cnf), which the broker cannot verify'),
    );
  });
});
