import { randomInt } from 'node:crypto';
import { expectedSignature, type RegisteredApp } from '../../../src/simulator/login-verifier.ts';
import { DEMO_APP, type VendorSimulator } from '../../../src/simulator/vendor-simulator.ts';

export const LOGIN_PATH = '/openapi/custCloud/app/user/thirdCustLogin';

export interface LoginChange {
  readonly app?: RegisteredApp;
  /** Override fields of a correct body. `undefined` leaves a field out. */
  readonly fields?: Record<string, unknown>;
  /** Replaces the JSON body. */
  readonly rawBody?: string;
  readonly nonce?: string;
  /** Epoch seconds. */
  readonly timestamp?: number;
  /** Override headers after the request was signed. `undefined` leaves a header out. */
  readonly headers?: Record<string, string | undefined>;
  readonly signal?: AbortSignal;
}

/** Sends a correct login request with the given change. */
export function sendLogin(to: Pick<VendorSimulator, 'url'>, change: LoginChange = {}): Promise<Response> {
  const app = change.app ?? DEMO_APP;
  const { appId, appToken, appKey } = app;
  const correct = { action: 'thirdCustLogin', appId, appToken, unionId: 'u-1', uniqueId: 't-1', regRegion: 'CN' };
  const body = change.rawBody ?? JSON.stringify({ ...correct, ...change.fields });
  const parts = {
    host: new URL(to.url).host,
    accessId: app.accessId ?? appId,
    nonce: change.nonce ?? String(randomInt(1, 2 ** 31 - 1)),
    timestamp: String(change.timestamp ?? Math.floor(Date.now() / 1000)),
    body: Buffer.from(body),
  };
  const headers = {
    'content-type': 'application/json',
    'x-iotvideo-accessid': parts.accessId,
    'x-iotvideo-nonce': parts.nonce,
    'x-iotvideo-timestamp': parts.timestamp,
    'x-iotvideo-signature': expectedSignature(parts, appKey),
    ...change.headers,
  };
  return fetch(to.url + LOGIN_PATH, {
    method: 'POST',
    headers: Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
    body,
    ...(change.signal && { signal: change.signal }),
  });
}

export interface VendorAnswer {
  readonly code: number;
  readonly msg: string;
  readonly requestId: string;
  readonly data: Record<'accessId' | 'accessToken' | 'terminalId' | 'expand', string> & { expireTime: unknown };
}

export async function logIn(to: Pick<VendorSimulator, 'url'>, change: LoginChange = {}): Promise<VendorAnswer> {
  const response = await sendLogin(to, change);
  return (await response.json()) as VendorAnswer;
}
