import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../../src/token/errors.ts';
import { subjectId } from '../../../../src/token/subject.ts';
import { sendRaw } from '../../../support/raw-connection.ts';
import { recordingTokens, servedToken } from '../running-app.ts';
import { ADMIN_TOKEN, recordingAccounts, startInternalApp } from '../running-internal-app.ts';

const TOKEN = '/accounts/user%2F1/terminals/phone%2F1/sdk-token';
const subject = { app: 'default', unionId: 'user/1', uniqueId: 'phone/1' };

describe('GET /accounts/{unionId}/terminals/{uniqueId}/sdk-token', () => {
  it('answers with the token like the public API', async () => {
    const { ask } = await startInternalApp();
    const { body, etag } = servedToken();
    const answer = await ask('GET', TOKEN);
    expect(answer.status).toBe(200);
    expect(answer.body).toBe(body.toString());
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      etag,
    });
    const unchanged = await ask('GET', TOKEN, { headers: { 'if-none-match': etag } });
    expect(unchanged).toMatchObject({ status: 304, body: '', headers: { etag } });
  });

  it('reads the terminal of the path, with the country and the app of the query, and the refused token', async () => {
    const { reads, tokens } = recordingTokens();
    const { ask } = await startInternalApp({ tokens, apps: ['ios', 'android'] });
    const { etag } = servedToken();
    const query = `regRegion=DE&app=android&refused=${etag.slice(1, -1)}`;
    expect((await ask('GET', `${TOKEN}?${query}`)).status).toBe(200);
    const android = { ...subject, app: 'android' };
    const [sessionIssuedAt, requestId] = [Number.POSITIVE_INFINITY, expect.any(String)];
    expect(reads).toEqual([
      { subject: android, id: subjectId(android), region: 'DE', sessionIssuedAt, refused: etag, requestId },
    ]);
  });
});

describe('DELETE /accounts/{unionId}/terminals/{uniqueId}', () => {
  const path = '/accounts/user%2F1/terminals/phone%2F1';

  it('logs the terminal out of every app, or of the requested app', async () => {
    const { accounts, loggedOut } = recordingAccounts();
    const { ask } = await startInternalApp({ accounts, apps: ['ios', 'android'] });
    expect(await ask('DELETE', path)).toMatchObject({ status: 204, body: '' });
    expect(loggedOut.splice(0)).toEqual([
      { ...subject, app: 'ios' },
      { ...subject, app: 'android' },
    ]);
    expect((await ask('DELETE', `${path}?app=other`)).status).toBe(400);
    expect((await ask('DELETE', `${path}?app=android`)).status).toBe(204);
    expect(loggedOut).toEqual([{ ...subject, app: 'android' }]);
  });

  it('fails if one app cannot be logged out', async () => {
    const { accounts } = recordingAccounts();
    const logOut = async ({ app }: { app: string }) => {
      if (app === 'android') throw new BrokerError('store_unavailable');
    };
    const { ask } = await startInternalApp({ accounts: { ...accounts, logOut }, apps: ['ios', 'android'] });
    expect((await ask('DELETE', path)).status).toBe(503);
  });
});

describe('the uniqueId in the path', () => {
  it.each(['', '%20', '%C3%A9', 'a'.repeat(129), 'user%C3%A9'])(
    'is refused unless it is visible ASCII: %j',
    async (id) => {
      const { accounts, loggedOut } = recordingAccounts();
      const { ask } = await startInternalApp({ accounts });
      for (const answer of [
        await ask('DELETE', `/accounts/user%C3%A9/terminals/${id}`),
        await ask('GET', `/accounts/user%C3%A9/terminals/${id}/sdk-token`),
      ]) {
        expect(answer.status).toBe(400);
        expect(JSON.parse(answer.body)).toMatchObject({
          code: 'request_invalid',
          detail:
            'The uniqueId in the path must be 1 to 128 visible ASCII characters, and not . or .. alone (percent-encoded)',
        });
      }
      expect(loggedOut).toEqual([]);
    },
  );

  it.each(['.', '..', '%2e', '%2E%2e'])(
    'is refused if it shortens the path, and the shortened one changes nothing: %s',
    async (id) => {
      const { accounts, loggedOut, erased } = recordingAccounts();
      const { ask, origin } = await startInternalApp({ accounts });
      const path = `/accounts/alice/terminals/${id}`;
      const account = `/accounts/${id}`;
      const head = `Host: x\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\nConnection: close\r\n\r\n`;
      const lines = [`DELETE ${path}`, `GET ${path}/sdk-token`, `DELETE ${account}/terminals`, `DELETE ${account}`];
      for (const line of lines) {
        const { ended, received, socket } = await sendRaw(origin, `${line} HTTP/1.1\r\n${head}`);
        await ended(5_000);
        socket.destroy();
        expect(received()).toMatch(/^HTTP\/1\.1 400 .*and not \. or \.\. alone/s);
      }
      // The URL parser of this client shortens it.
      expect([400, 404]).toContain((await ask('DELETE', path)).status);
      expect([loggedOut, erased]).toEqual([[], []]);
    },
  );

  it('means the account under the single policy, and can be the unionId, as the account lists it', async () => {
    const { accounts, loggedOut } = recordingAccounts();
    const { reads, tokens } = recordingTokens();
    const { ask } = await startInternalApp({ accounts, tokens, terminalPolicy: 'single' });
    const account = { app: 'default', unionId: 'useré', uniqueId: 'useré' };
    for (const id of ['phone-1', 'user%C3%A9']) {
      expect((await ask('DELETE', `/accounts/user%C3%A9/terminals/${id}`)).status).toBe(204);
      expect((await ask('GET', `/accounts/user%C3%A9/terminals/${id}/sdk-token`)).status).toBe(200);
    }
    expect(loggedOut).toEqual([account, account]);
    expect(reads.map((read) => read.subject)).toEqual([account, account]);
  });
});
