import { REGION_PATTERN } from '../token/subject.ts';
import { Refusal } from './refusal.ts';
import type { VendorApp } from './request-verification.ts';

/** Who logs in, where. */
export interface Login {
  readonly appId: string;
  readonly unionId: string;
  readonly uniqueId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly regRegion: string;
}

/**
 * Reads a login's body (protocol.md, "Request").
 * @param apps every app the vendor knows
 * @param signer the one whose key signed the request
 * @throws Refusal 10007 `:-1` (not JSON), 10001, 10003, 10901050, 10901052
 */
export function readLogin(body: Buffer, apps: readonly VendorApp[], signer: VendorApp): Login {
  const fields = parseObject(body);
  if (field(fields, 'action') !== 'thirdCustLogin') throw malformed('action must be thirdCustLogin');
  const appId = field(fields, 'appId');
  const appToken = field(fields, 'appToken');
  const unionId = field(fields, 'unionId');
  const uniqueId = field(fields, 'uniqueId');
  const regRegion = field(fields, 'regRegion');
  if (!REGION_PATTERN.test(regRegion)) throw malformed('regRegion must be two upper-case letters');

  if (!apps.some((app) => app.appId === appId)) throw new Refusal('appUnknown', 'no app with this appId');
  if (appId !== signer.appId) throw new Refusal('appIdentityWrong', 'the request was signed by another app');
  if (appToken !== signer.appToken) throw new Refusal('appIdentityWrong', 'appToken does not belong to appId');
  return { appId, unionId, uniqueId, regRegion };
}

function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  } catch {
    // Said below, as for JSON that is no object.
  }
  throw new Refusal('verificationFailed', 'request verification failed: the body must be a JSON object in UTF-8:-1');
}

function field(fields: Record<string, unknown>, name: string): string {
  const value = fields[name];
  if (value === undefined || value === null || value === '') {
    throw new Refusal('parameterMissing', `parameter missing: ${name}`);
  }
  if (typeof value !== 'string') throw malformed(`${name} must be a string`);
  return value;
}

function malformed(reason: string): Refusal {
  return new Refusal('parameterMalformed', `parameter malformed: ${reason}`);
}
