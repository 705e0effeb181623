import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoredAccount } from '../../../../src/token/ports.ts';
import type { TokenRecord } from '../../../../src/token/sdk-token.ts';
import { wellFormedText } from '../../../support/any-text.ts';
import { ACCESS_TOKEN, RECORD, UNION_ID } from '../running-app.ts';
import { recordingAccounts, startInternalApp } from '../running-internal-app.ts';

function record(app: string, uniqueId: string, more: Partial<TokenRecord> = {}): TokenRecord {
  return { ...RECORD, subject: { app, unionId: UNION_ID, uniqueId }, ...more };
}

function known(records: readonly TokenRecord[], unionId = UNION_ID): Map<string, StoredAccount> {
  return new Map([[unionId, { identity: { accessId: '-9223371996052586423', region: 'DE' }, records }]]);
}

describe('GET /accounts/{unionId}', () => {
  it('shows an account and its terminals, without tokens', async () => {
    const token = { ...RECORD.token, issuedAt: 1_700_000_000_000, expiresAt: 1_702_592_000_500 };
    const terminal = record('default', 'phone-1', { token, generation: 1_700_000_000_123, read: true });
    const { ask } = await startInternalApp({
      accounts: recordingAccounts(known([terminal])).accounts,
      refreshAt: ({ token }) => token.issuedAt + 0.75,
      terminalLimit: 7,
    });
    const answer = await ask('GET', `/accounts/${UNION_ID}`);
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    });
    expect(JSON.parse(answer.body)).toEqual({
      accessId: '-9223371996052586423',
      region: 'DE',
      terminals: [
        {
          app: 'default',
          uniqueId: 'phone-1',
          issuedAt: '2023-11-14T22:13:20.000Z',
          expiresAt: '2023-12-14T22:13:20.500Z',
          refreshAt: '2023-11-14T22:13:20.000Z',
          generation: 1_700_000_000_123,
          readSinceRefresh: true,
        },
      ],
      terminalLimit: 7,
    });
    expect(answer.body).not.toContain(ACCESS_TOKEN);
  });

  it('shows the last erasure, the last logout of all, and a cool-down with its end and its code, also for each terminal', async () => {
    const account = {
      identity: { accessId: '1', region: 'DE' },
      records: [record('a', '1')],
      coolDown: { until: 1_700_000_000_000, code: 'vendor_timeout' },
      erasedAt: 1_600_000_000_000,
      loggedOutAt: 1_600_000_000_001,
    };
    const { accounts } = recordingAccounts(new Map([[UNION_ID, account as StoredAccount]]));
    const { ask } = await startInternalApp({ accounts });
    const coolDown = { until: '2023-11-14T22:13:20.000Z', code: 'vendor_timeout' };
    expect(JSON.parse((await ask('GET', `/accounts/${UNION_ID}`)).body)).toMatchObject({
      erasedAt: '2020-09-13T12:26:40.000Z',
      loggedOutAt: '2020-09-13T12:26:40.001Z',
      coolDown,
      terminals: [{ uniqueId: '1', coolingDown: coolDown }],
    });
  });

  it('sorts the terminals by app, then by uniqueId', async () => {
    const records = [record('b', '1'), record('a', 'z'), record('a', 'Z'), record('a', '10'), record('a', '9')];
    const { ask } = await startInternalApp({ accounts: recordingAccounts(known(records)).accounts });
    const { terminals } = JSON.parse((await ask('GET', `/accounts/${UNION_ID}`)).body);
    expect(terminals.map(({ app, uniqueId }: { app: string; uniqueId: string }) => app + uniqueId)).toEqual([
      'a10',
      'a9',
      'aZ',
      'az',
      'b1',
    ]);
  });

  it.each([
    [{}, ''],
    [{ erasedAt: 1_600_000_000_000 }, ': it was erased at 2020-09-13T12:26:40.000Z'],
    [{ loggedOutAt: 1_600_000_000_000 }, ': it was logged out at 2020-09-13T12:26:40.000Z'],
    [
      { coolDown: { until: 1_700_000_000_000, code: 'vendor_timeout' } },
      ': its logins pause until 2023-11-14T22:13:20.000Z because of vendor_timeout',
    ],
    [
      { erasedAt: 1_600_000_000_000, coolDown: { until: 1_700_000_000_000, code: 'vendor_rejected' } },
      ': it was erased at 2020-09-13T12:26:40.000Z; its logins pause until 2023-11-14T22:13:20.000Z because of vendor_rejected',
    ],
  ] as const)('says with not_found what is known of an account without tokens: %o', async (history, facts) => {
    const { accounts } = recordingAccounts(new Map([['canary', { records: [], ...history }]]));
    const { ask } = await startInternalApp({ accounts });
    const answer = await ask('GET', '/accounts/canary');
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body)).toMatchObject({
      code: 'not_found',
      detail: `There is no such account here${facts}`,
    });
    expect(answer.body).not.toContain('canary');
  });
});

describe.each([
  ['/accounts/user-1', 'erased'],
  ['/accounts/user-1/terminals', 'loggedOutEverywhere'],
] as const)('DELETE %s', (path, change) => {
  it('changes the whole account and answers without a body', async () => {
    const { accounts, erased, loggedOutEverywhere } = recordingAccounts();
    const { ask } = await startInternalApp({ accounts });
    expect(await ask('DELETE', path)).toMatchObject({ status: 204, body: '' });
    const none = { erased: [], loggedOutEverywhere: [] };
    expect({ erased, loggedOutEverywhere }).toEqual({ ...none, [change]: ['user-1'] });
  });
});

describe('the unionId in the path', () => {
  it('can be any Unicode text of 1 to 128 characters, percent-encoded', async () => {
    const { accounts, found } = recordingAccounts();
    const { ask } = await startInternalApp({ accounts });
    const text = fc.oneof(
      wellFormedText({ minLength: 1, maxLength: 128 }),
      fc.stringMatching(/^[%25/?#;+&=. a-z]{1,20}$/),
      fc.constantFrom('lookup', 'a/terminals/b', '%2F', '%', '😀'.repeat(128), '\0', 'a\n'),
    );
    const encodable = text.filter((unionId) => unionId !== '.' && unionId !== '..');
    await fc.assert(
      fc.asyncProperty(encodable, async (unionId) => {
        expect((await ask('GET', `/accounts/${encodeURIComponent(unionId)}`)).status).toBe(404);
        expect(found.at(-1)).toBe(unionId);
      }),
      { numRuns: 200 },
    );
  });

  it.each(['', 'x'.repeat(129), '😀'.repeat(129), 'x'.repeat(10_000), '%ff', '%C3', '%zz', '%'])(
    'is refused otherwise; the error says what is allowed and does not echo the value: %s',
    async (unionId) => {
      const { accounts, found, erased } = recordingAccounts();
      const { ask } = await startInternalApp({ accounts });
      for (const method of ['GET', 'DELETE']) {
        const path = unionId.startsWith('%') ? unionId : encodeURIComponent(unionId);
        const answer = await ask(method, `/accounts/${path}`);
        expect(answer.status).toBe(400);
        const { code, detail } = JSON.parse(answer.body);
        expect(code).toBe('request_invalid');
        expect(detail).toMatch(/^The (unionId in the )?path must be /);
        expect(answer.body).not.toContain('xxx');
      }
      expect([...found, ...erased]).toEqual([]);
    },
  );
});
