import { request } from 'node:http';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { internalOpenApiDocument } from '../../../scripts/openapi-document.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { StoredAccount } from '../../../src/token/ports.ts';
import { accountId, subjectId } from '../../../src/token/subject.ts';
import { eventually } from '../../support/eventually.ts';
import { recordingAccounts, startInternalApp } from './running-internal-app.ts';

const ACCOUNT = accountId('user-1');
const SUBJECT = subjectId({ app: 'default', unionId: 'user-1', uniqueId: 'phone-1' });
const ACCESS_ID = '-9223371996052586423';
const KNOWN: StoredAccount = { identity: { accessId: ACCESS_ID, region: 'DE' }, records: [] };

const CALLS = [
  ['GET', '/accounts/user-1', { action: 'getAccount', account: ACCOUNT, status: 200 }],
  ['DELETE', '/accounts/user-1', { action: 'eraseAccount', account: ACCOUNT, status: 204 }],
  ['DELETE', '/accounts/user-1/terminals', { action: 'logAccountOut', account: ACCOUNT, status: 204 }],
  [
    'GET',
    '/accounts/user-1/terminals/phone-1/sdk-token',
    { action: 'getTerminalToken', subject: SUBJECT, status: 200 },
  ],
  ['DELETE', '/accounts/user-1/terminals/phone-1', { action: 'logTerminalOut', subject: SUBJECT, status: 204 }],
  ['GET', '/status', { action: 'getStatus', status: 200 }],
  ['POST', '/accounts/lookup', { action: 'lookUpAccounts', account: ACCOUNT, status: 200 }],
  ['PUT', '/accounts/user-1/access-id', { action: 'obtainAccessId', account: ACCOUNT, status: 200 }],
  ['GET', '/accounts/user-2', { action: 'getAccount', account: accountId('user-2'), status: 404 }],
  ['GET', '/accounts/user-1/terminals/phone-1/sdk-token?x=1', { action: 'getTerminalToken', status: 400 }],
] as const;

const body = JSON.stringify({ accessIds: [ACCESS_ID] });
const sentWith = (method: string) =>
  method === 'POST' ? { body, headers: { 'content-type': 'application/json' } } : {};

function auditLines(log: string): Record<string, unknown>[] {
  const lines = log.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  return lines.filter(({ audit }) => audit === true);
}

describe('an audit line', () => {
  it.each(CALLS)('says who called %s %s, what it did, and to whom', async (method, path, expected) => {
    const { ask, log } = await startInternalApp(recordingAccounts(new Map([['user-1', KNOWN]])));
    const answer = await ask(method, path, sentWith(method));
    const requestId = answer.headers['x-request-id'];
    await eventually(() => auditLines(log()).length > 0);
    expect(auditLines(log())).toEqual([
      expect.objectContaining({ level: 30, audit: true, caller: 'default', requestId, ...expected }),
    ]);
    expect(log()).not.toMatch(/user-[12]|phone-1|-9223371996052586423/);
  });

  it('exists for every operation that needs a token', async () => {
    const { paths } = (await internalOpenApiDocument('1')) as {
      paths: Record<string, Record<string, { operationId: string; security: object[] }>>;
    };
    const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
    const guarded = operations.filter(({ security }) => security.length > 0).map(({ operationId }) => operationId);
    expect(new Set(CALLS.map(([, , { action }]) => action))).toEqual(new Set(guarded));
  });

  it('has a list where a call concerns several accounts or terminals', async () => {
    const { accounts } = recordingAccounts();
    const found = new Map(['a', 'b'].map((unionId) => [`id-${unionId}`, unionId]));
    const { ask, log } = await startInternalApp({
      accounts: { ...accounts, lookUp: async () => found },
      apps: ['ios', 'android'],
    });
    await ask('POST', '/accounts/lookup', sentWith('POST'));
    await ask('DELETE', '/accounts/a/terminals/phone');
    await eventually(() => auditLines(log()).length > 1);
    const ids = ['ios', 'android'].map((app) => subjectId({ app, unionId: 'a', uniqueId: 'phone' }));
    expect(auditLines(log())).toMatchObject([{ accounts: ['a', 'b'].map(accountId) }, { subjects: ids }]);
  });

  it.each(['fatal', 'warn'])('does not depend on LOG_LEVEL=%s', async (logLevel) => {
    const { ask, log } = await startInternalApp({ logLevel });
    await ask('DELETE', '/accounts/user-1');
    await eventually(() => auditLines(log()).length === 1);
    expect(log().trim().split('\n')).toHaveLength(1);
  });

  it('is not written when the log is off', async () => {
    const { ask, log, app } = await startInternalApp({ logLevel: 'silent' });
    await ask('DELETE', '/accounts/user-1');
    await app.close();
    expect(log()).toBe('');
  });

  it('is written for a call that fails, and for a caller that does not wait for the answer', async () => {
    const erased = new Promise<void>((resolve) => onTestFinished(() => resolve()));
    const { accounts } = recordingAccounts();
    const { ask, log, origin } = await startInternalApp({
      accounts: {
        ...accounts,
        find: () => Promise.reject(new BrokerError('store_unavailable')),
        erase: () => erased,
      },
    });
    await ask('GET', '/accounts/user-1');
    const headers = { authorization: 'Bearer admin-canary-2b3c4d' };
    const outgoing = request(`${origin}/accounts/user-1`, { method: 'DELETE', headers, agent: false }).end();
    outgoing.on('error', () => undefined);
    outgoing.on('finish', () => setTimeout(() => outgoing.destroy(), 50));
    await eventually(() => auditLines(log()).length === 2);
    const [failed, left] = auditLines(log());
    expect(failed).toMatchObject({ action: 'getAccount', account: ACCOUNT, status: 503 });
    expect(left).toMatchObject({ action: 'eraseAccount', account: ACCOUNT });
    expect(left).not.toHaveProperty('status');
  });
});

describe('refused calls', () => {
  it('leave one line per second at most, and the lines count all of them', async () => {
    const adminRefused = vi.fn();
    const { ask, log, app } = await startInternalApp({ observer: { adminRefused } });
    const wrong = { headers: { authorization: 'Bearer canary-guess' } };
    for (let sent = 0; sent < 40; sent += 1) await ask('GET', '/accounts/user-1', wrong);
    await ask('GET', '/accounts/user-1', { headers: { authorization: 'Basic x' } });
    await app.close();
    const lines = auditLines(log()) as { omitted?: number }[];
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect(lines.length).toBeLessThan(6);
    expect(lines.reduce((sum, { omitted = 0 }) => sum + 1 + omitted, 0)).toBe(41);
    expect(lines[0]).toMatchObject({ level: 40, action: 'getAccount', reason: 'wrong', status: 401 });
    expect(lines.at(-1)).toMatchObject({ reason: 'missing', status: 401 });
    for (const line of lines) expect(line).not.toHaveProperty('caller');
    expect(adminRefused.mock.calls.flat().sort()).toEqual(['missing', ...Array(40).fill('wrong')]);
    expect(log()).not.toMatch(/canary|user-1/);
  });

  it('get a 429 with Retry-After after 30 wrong tokens, while correct tokens are accepted', async () => {
    const { ask } = await startInternalApp();
    const statuses: number[] = [];
    for (let sent = 0; sent < 40; sent += 1) {
      const { status, headers, body } = await ask('GET', '/accounts/a', { headers: { authorization: 'Bearer guess' } });
      statuses.push(status);
      if (status !== 429) continue;
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
      expect(JSON.parse(body)).toMatchObject({ code: 'rate_limited', retryable: true });
      expect((await ask('DELETE', '/accounts/a')).status).toBe(204);
    }
    expect(statuses.slice(0, 30)).toEqual(Array(30).fill(401));
    expect(statuses.at(-1)).toBe(429);
  });
});
