import { expect } from 'vitest';
import type { StatusReport } from '../../src/http/routes/status.ts';
import type { Replica } from './broker-service.ts';
import { type PlainAnswer, plainRequest } from './plain-request.ts';

/** For the setting of the same name. */
export const ADMIN_TOKEN = 'an-admin-token-of-32-characters-or-more';

/** Sends a request to the internal API of a replica. @param call like `GET /status` */
export function askInternal({ adminUrl }: Pick<Replica, 'adminUrl'>, call: string, body?: object, headers = {}) {
  const [method = '', path = ''] = call.split(' ');
  const own = { authorization: `Bearer ${ADMIN_TOKEN}`, ...(body && { 'content-type': 'application/json' }) };
  const options = { method, headers: { ...own, ...headers }, ...(body && { body: JSON.stringify(body) }) };
  return plainRequest(adminUrl + path, options);
}

/** The status that a replica reports. It changes at most once per second. */
export async function statusOf(replica: Pick<Replica, 'adminUrl'>): Promise<StatusReport> {
  const { status, body } = await askInternal(replica, 'GET /status');
  expect(status).toBe(200);
  return JSON.parse(body) as StatusReport;
}

/** Logs a terminal out like an app. */
export function logOut({ url }: Pick<Replica, 'url'>, session: string, uniqueId = 'phone'): Promise<PlainAnswer> {
  const headers = { authorization: `Bearer ${session}` };
  return plainRequest(`${url}/sdk-token?uniqueId=${uniqueId}`, { method: 'DELETE', headers });
}
