import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lookupBody } from '../../../../src/http/routes/accounts.ts';
import { wellFormedText } from '../../../support/any-text.ts';
import { RECORD } from '../running-app.ts';
import { recordingAccounts, startInternalApp } from '../running-internal-app.ts';
import { refusalDetail, validated } from '../validated.ts';

const ID = '-9223371996052586423';

const detailOf = (body: unknown) => refusalDetail(lookupBody, 'body', body);
const requestedAccessIds = (body: unknown) => validated(lookupBody, 'body', body).accessIds;

describe('the accessIds of a lookup', () => {
  it('are opaque strings of 1 to 128 characters', () => {
    fc.assert(
      fc.property(wellFormedText({ minLength: 1, maxLength: 128 }), (id) => {
        expect(requestedAccessIds({ accessIds: [id] })).toEqual([id]);
      }),
    );
    expect(requestedAccessIds({ accessIds: [ID, 'u:7f3c-9a', '😀'.repeat(128), ' ', '__proto__'] })).toHaveLength(5);
  });

  it('are 1 to 1000', () => {
    expect(requestedAccessIds({ accessIds: Array(1_000).fill(ID) })).toHaveLength(1_000);
    expect(detailOf({ accessIds: Array(1_001).fill(ID) })).toBe('accessIds may hold 1000 at most');
    expect(detailOf({ accessIds: [] })).toBe('accessIds must not be empty');
  });

  it.each([12, -(2 ** 62), 0, Number.NaN])('cannot be numbers, because JSON readers round them: %s', (id) => {
    expect(detailOf({ accessIds: [ID, id] })).toBe(
      'accessIds[1] must be a string, not a number: JSON readers round 64-bit integers',
    );
  });

  it.each([
    ...['', 'x'.repeat(129), '😀'.repeat(129), '\ud800'].map((id) => [id, 'must be 1 to 128 Unicode characters']),
    ...[null, true, {}, [ID]].map((id) => [id, 'must be a string']),
  ])('are refused if they are not: %j', (id, rule) => {
    expect(detailOf({ accessIds: [ID, ID, id] })).toBe(`accessIds[2] ${rule}`);
  });

  it.each([{ accessIds: ID }, { accessIds: null }, {}, { accessIds: { 0: ID } }])(
    'must be an array, not %j',
    (body) => {
      expect(detailOf(body)).toBe('accessIds must be an array of strings');
    },
  );

  it.each([undefined, null, ID, 7, [], [ID], { accessIds: [ID], canary: 1 }])(
    'must be in an object without other fields, not %j',
    (body) => {
      expect(detailOf(body)).toMatch(/^The body must be a JSON object \{"accessIds": \[…\]\} and nothing else$/);
    },
  );
});

describe('POST /accounts/lookup', () => {
  const json = { 'content-type': 'application/json' };

  it.each([ID, '__proto__'])('answers with the known accounts by accessId: %s', async (accessId) => {
    const known = new Map([['user-1', { identity: { accessId, region: 'DE' }, records: [RECORD] }]]);
    const { accounts, lookedUp } = recordingAccounts(known);
    const { ask } = await startInternalApp({ accounts });
    const answer = await ask('POST', '/accounts/lookup', { headers: json, body: `{"accessIds":["${accessId}","7"]}` });
    expect(answer).toMatchObject({ status: 200, body: `{"${accessId}":"user-1"}` });
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.headers['content-type']).toMatch('application/json');
    expect(lookedUp).toEqual([[accessId, '7']]);
  });

  it('accepts the longest list, and no body above 512 KiB', async () => {
    const { accounts, lookedUp } = recordingAccounts();
    const { ask } = await startInternalApp({ accounts });
    const body = JSON.stringify({ accessIds: Array(1_000).fill('😀'.repeat(128)) });
    expect(await ask('POST', '/accounts/lookup', { headers: json, body })).toMatchObject({ status: 200, body: '{}' });
    expect(lookedUp[0]).toHaveLength(1_000);
    const answer = await ask('POST', '/accounts/lookup', {
      headers: json,
      body: JSON.stringify({ accessIds: [ID] }).padEnd(512 * 1_024 + 1),
    });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ detail: 'The body is too large' });
  });

  it.each([
    ['a form', 'application/x-www-form-urlencoded', 'a=canary', 'A body needs Content-Type: application/json'],
    ['no media type', '', `{"accessIds":["${ID}"]}`, 'A body needs Content-Type: application/json'],
    ['no JSON', 'application/json', '{canary', 'The body must be JSON'],
    ['nothing', 'application/json', '', 'The body must be JSON, but it is empty'],
    ['text', 'text/plain', `{"accessIds":["${ID}"]}`, 'A body needs Content-Type: application/json'],
    ['no list', 'application/json', '{}', 'accessIds must be an array of strings'],
  ])('refuses %s and says what is allowed', async (_what, type, body, detail) => {
    const { accounts, lookedUp } = recordingAccounts();
    const { ask } = await startInternalApp({ accounts });
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
    const answer = await ask('POST', '/accounts/lookup', { headers, body });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'request_invalid', detail });
    expect(answer.body).not.toContain('canary');
    expect(lookedUp).toEqual([]);
  });
});
