import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { REGION_PATTERN } from '../token/subject.ts';

/** The vendor's result codes that the simulator sends (docs/vendor-login.md, "Result codes"). */
const RESULT_CODES = {
  parameterMissing: 10001,
  parameterMalformed: 10003,
  verificationFailed: 10007,
  tooFrequent: 10015,
  appIdentityWrong: 10901050,
  appFrozen: 10901051,
  appUnknown: 10901052,
  maintenance: 10901060,
  accountClosed: 10902013,
} as const;

/** The vendor refuses a login. `code` and `message` are sent to the caller. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: number;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  /** @param status of HTTP: the vendor documents no other one than 200 for errors */
  constructor(code: keyof typeof RESULT_CODES, message: string, status = 200, headers: Refusal['headers'] = {}) {
    super(message);
    this.code = RESULT_CODES[code];
    this.status = status;
    this.headers = headers;
  }
}

/** The inputs of the signature, exactly as they were sent. */
export interface SignedParts {
  readonly host: string;
  readonly accessId: string;
  readonly nonce: string;
  readonly timestamp: string;
  readonly body: Uint8Array;
}

/**
 * The signature that the vendor expects, in Base64 (docs/vendor-login.md, "Signature"). This code is independent of the
 * broker's own signature code on purpose. If both shared a line, no test could find a mistake in it.
 */
export function expectedSignature(parts: SignedParts, appKey: string): string {
  const payload = createHash('sha256').update(parts.body).digest('hex');
  const stringToSign =
    `Host:${parts.host}\n` +
    `Payload:${payload}\n` +
    `X-IotVideo-AccessID:${parts.accessId}\n` +
    `X-IotVideo-Nonce:${parts.nonce}\n` +
    `X-IotVideo-Timestamp:${parts.timestamp}`;
  return createHmac('sha1', Buffer.from(appKey, 'utf8')).update(stringToSign, 'utf8').digest('base64');
}

/** One app, as it is registered with the vendor. Its keys may change while the simulator runs. */
export interface RegisteredApp {
  readonly appId: string;
  readonly appToken: string;
  readonly appKey: string;
  /** Also accepted, as by a vendor that lets its customer replace the key. */
  readonly secondAppKey?: string;
  /** The value that the app sends as `X-IotVideo-AccessID`. Default: its `appId`. */
  readonly accessId?: string;
}

export interface LoginRequest {
  readonly headers: IncomingHttpHeaders;
  /** The bytes as they were sent. */
  readonly body: Buffer;
}

/** The content of a valid login request. */
export interface Login {
  readonly appId: string;
  readonly unionId: string;
  readonly uniqueId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly regRegion: string;
}

const TIMESTAMP_TOLERANCE_SECONDS = 300;
const NONCE_MAX = 2_147_483_646;
const NONCE_MEMORY_MS = 600_000;

/** Checks headers, signature and body of login requests (docs/vendor-login.md, "Request" and "Signature"). */
export function loginVerifier(apps: readonly RegisteredApp[]) {
  const appByAccessId = new Map(apps.map((app) => [app.accessId ?? app.appId, app]));
  const appIds = new Set(apps.map(({ appId }) => appId));
  /** Access id and nonce → time of the request in epoch ms, oldest first. */
  const usedNonces = new Map<string, number>();
  return verify;

  /**
   * A request with a valid signature uses up its nonce, even if its body is then refused.
   * @param vendorNow epoch ms by the vendor's clock
   * @throws Refusal 10001, 10003, 10901050, 10901052, or 10007 with `:-1` (body), `:-2` (clock) or `:-3` (signature,
   * nonce) at the end of its message
   */
  function verify(request: LoginRequest, vendorNow: number): Login {
    const signer = verifySignature(request, vendorNow);
    return readBody(request.body, signer);
  }

  /** @returns the app that signed the request */
  function verifySignature({ headers, body }: LoginRequest, vendorNow: number): RegisteredApp {
    if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) {
      throw notVerified('Content-Type must be application/json', -1);
    }
    if (headers['payload'] !== undefined) throw notVerified('Payload is signed, never sent as a header', -3);
    const host = header(headers, 'Host');
    const accessId = header(headers, 'X-IotVideo-AccessID');
    const nonce = header(headers, 'X-IotVideo-Nonce');
    const timestamp = header(headers, 'X-IotVideo-Timestamp');
    const signature = header(headers, 'X-IotVideo-Signature');

    if (!/^[1-9]\d{0,9}$/.test(nonce) || Number(nonce) > NONCE_MAX) {
      throw notVerified(`X-IotVideo-Nonce must be an integer from 1 to ${NONCE_MAX}`, -3);
    }
    if (!/^\d{1,12}$/.test(timestamp)) throw notVerified('X-IotVideo-Timestamp must be Unix seconds', -3);
    if (Math.abs(Math.floor(vendorNow / 1000) - Number(timestamp)) > TIMESTAMP_TOLERANCE_SECONDS) {
      throw notVerified('X-IotVideo-Timestamp is more than 5 minutes off', -2);
    }
    const app = appByAccessId.get(accessId);
    if (app === undefined) throw new Refusal('appUnknown', 'no app with this X-IotVideo-AccessID');
    const keys = app.secondAppKey === undefined ? [app.appKey] : [app.appKey, app.secondAppKey];
    const parts = { host, accessId, nonce, timestamp, body };
    if (!keys.some((key) => signature === expectedSignature(parts, key))) {
      throw notVerified('X-IotVideo-Signature does not match', -3);
    }
    useNonce(`${accessId} ${nonce}`, vendorNow);
    return app;
  }

  function useNonce(key: string, now: number): void {
    for (const [oldest, usedAt] of usedNonces) {
      if (now - usedAt < NONCE_MEMORY_MS) break;
      usedNonces.delete(oldest);
    }
    if (usedNonces.has(key)) throw notVerified('X-IotVideo-Nonce was used before', -3);
    usedNonces.set(key, now);
  }

  function readBody(body: Buffer, signer: RegisteredApp): Login {
    const fields = parseObject(body);
    if (field(fields, 'action') !== 'thirdCustLogin') throw malformed('action must be thirdCustLogin');
    const appId = field(fields, 'appId');
    const appToken = field(fields, 'appToken');
    const unionId = field(fields, 'unionId');
    const uniqueId = field(fields, 'uniqueId');
    const regRegion = field(fields, 'regRegion');
    if (!REGION_PATTERN.test(regRegion)) throw malformed('regRegion must be two upper-case letters');

    if (!appIds.has(appId)) throw new Refusal('appUnknown', 'no app with this appId');
    if (appId !== signer.appId) throw new Refusal('appIdentityWrong', 'the request was signed by another app');
    if (appToken !== signer.appToken) throw new Refusal('appIdentityWrong', 'appToken does not belong to appId');
    return { appId, unionId, uniqueId, regRegion };
  }
}

function header(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name.toLowerCase()];
  if (typeof value !== 'string' || value === '') throw notVerified(`${name} is missing`, -3);
  return value;
}

function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  } catch {
    // Refused below, like JSON that is not an object.
  }
  throw notVerified('the body must be a JSON object in UTF-8', -1);
}

function field(fields: Record<string, unknown>, name: string): string {
  const value = fields[name];
  if (value === undefined || value === null || value === '') {
    throw new Refusal('parameterMissing', `parameter missing: ${name}`);
  }
  if (typeof value !== 'string') throw malformed(`${name} must be a string`);
  return value;
}

function notVerified(reason: string, detail: -1 | -2 | -3): Refusal {
  return new Refusal('verificationFailed', `request verification failed: ${reason}:${detail}`);
}

function malformed(reason: string): Refusal {
  return new Refusal('parameterMalformed', `parameter malformed: ${reason}`);
}
