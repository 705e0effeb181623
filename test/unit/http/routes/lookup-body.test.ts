import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lookupBody } from '../../../../src/http/routes/accounts.ts';
import { servedToken } from '../running-app.ts';
import { notingAccounts, startInternalApp } from '../running-internal-app.ts';
import { refusalDetail, validated } from '../validated.ts';

const ID = '-9223371996052586423';

const detailOf = (body: unknown) => refusalDetail(lookupBody, 'body', body);
const requestedAccessIds = (body: unknown) => validated(lookupBody, 'body', body).accessIds;

describe('the accessIds to look up', () => {
  it('are any decimal integers of 64 bits, as strings', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (id) => {
        expect(requestedAccessIds({ accessIds: [String(id)] })).toEqual([String(id)]);
      }),
    );
    expect(requestedAccessIds({ accessIds: ['0', '-9223372036854775808', '9223372036854775807'] })).toHaveLength(3);
  });

  it('are 1 to 1000', () => {
    expect(requestedAccessIds({ accessIds: Array(1_000).fill(ID) })).toHaveLength(1_000);
    expect(detailOf({ accessIds: Array(1_001).fill(ID) })).toBe('accessIds may hold 1000 at most');
    expect(detailOf({ accessIds: [] })).toBe('accessIds must not be empty');
  });

  it.each([12, -(2 ** 62), 0, Number.NaN])('may not be numbers, which JSON would round: %s', (id) => {
    expect(detailOf({ accessIds: [ID, id] })).toBe(
      'accessIds[1] must be a string, not a number: JSON readers round 64-bit integers',
    );
  });

  it.each([
    '',
    'canary',
    '1.0',
    '1e3',
    '0x1',
    '-0',
    '01',
    '+1',
    ' 1',
    '1\n',
    '９',
    '9223372036854775808',
    '-9223372036854775809',
    '9'.repeat(500),
  ])('are refused where they are no such integer: %j', (id) => {
    expect(detailOf({ accessIds: [ID, ID, id] })).toBe('accessIds[2] must be a decimal integer of 64 bits');
  });

  it.each([null, true, {}, [ID]])('are refused where they are no strings: %j', (id) => {
    expect(detailOf({ accessIds: [id] })).toBe('accessIds[0] must be a string');
  });

  it.each([{ accessIds: ID }, { accessIds: null }, {}, { accessIds: { 0: ID } }])('are an array: not %j', (body) => {
    expect(detailOf(body)).toBe('accessIds must be an array of strings');
  });

  it.each([undefined, null, ID, 7, [], [ID], { accessIds: [ID], canary: 1 }])(
    'are in an object of their own: not %j',
    (body) => {
      expect(detailOf(body)).toMatch(/^The body must be a JSON object \{"accessIds": \[…\]\} and nothing else$/);
    },
  );
});

describe('POST /accounts/lookup', () => {
  const json = { 'content-type': 'application/json' };
  const known = new Map([['user-1', { accessId: ID, region: 'DE', records: [servedToken().record] }]]);

  it('answers the accounts that are known, by accessId', async () => {
    const { accounts, lookedUp } = notingAccounts(known);
    const { ask } = await startInternalApp({ accounts });
    const answer = await ask('POST', '/accounts/lookup', { headers: json, body: `{"accessIds":["${ID}","7"]}` });
    expect(answer.status).toBe(200);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(JSON.parse(answer.body)).toEqual({ [ID]: 'user-1' });
    expect(lookedUp).toEqual([[ID, '7']]);
  });

  it('answers an empty object where none is known', async () => {
    const { ask } = await startInternalApp();
    const answer = await ask('POST', '/accounts/lookup', { headers: json, body: '{"accessIds":["7"]}' });
    expect(answer).toMatchObject({ status: 200, body: '{}' });
  });

  it('has room for the longest list there may be, and not for more than 64 KiB', async () => {
    const { accounts, lookedUp } = notingAccounts();
    const { ask } = await startInternalApp({ accounts });
    const body = JSON.stringify({ accessIds: Array(1_000).fill(ID) });
    expect((await ask('POST', '/accounts/lookup', { headers: json, body })).status).toBe(200);
    expect(lookedUp[0]).toHaveLength(1_000);
    const answer = await ask('POST', '/accounts/lookup', { headers: json, body: body.padEnd(65_537) });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ detail: 'The body is larger than any request to this service' });
  });

  it.each([
    ['a form', 'application/x-www-form-urlencoded', 'a=canary', 'A body must come with Content-Type: application/json'],
    ['no media type', '', `{"accessIds":["${ID}"]}`, 'A body must come with Content-Type: application/json'],
    ['no JSON', 'application/json', '{canary', 'The body must be JSON'],
    ['nothing', 'application/json', '', 'The body must be JSON, and is empty'],
    ['text', 'text/plain', `{"accessIds":["${ID}"]}`, 'A body must come with Content-Type: application/json'],
    [
      'a number',
      'application/json',
      `{"accessIds":[${ID}]}`,
      'accessIds[0] must be a string, not a number: JSON readers round 64-bit integers',
    ],
  ])('refuses %s, and says what is allowed', async (_what, type, body, detail) => {
    const { accounts, lookedUp } = notingAccounts();
    const { ask } = await startInternalApp({ accounts });
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
    const answer = await ask('POST', '/accounts/lookup', { headers, body });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'request_invalid', detail });
    expect(answer.body).not.toContain('canary');
    expect(lookedUp).toEqual([]);
  });
});
