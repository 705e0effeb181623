import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { sendJson } from './exchange.ts';
import type { Refusal } from './refusal.ts';
import type { ExpireTimeForm } from './vendor-settings.ts';
import type { IssuedToken } from './vendor-world.ts';

export interface AnswerForm {
  readonly expireTimeForm: ExpireTimeForm;
  /** Epoch ms by the vendor's clock. */
  readonly vendorNow: number;
  /** Ms until the token expires; negative if it has. */
  readonly remainingMs: number;
}

interface SuccessBody {
  readonly code: 0;
  readonly msg: string;
  readonly requestId: string;
  readonly data: Readonly<Record<string, string | number>>;
}

/** The body of a success (protocol.md, "Response"). */
export function successBody(token: IssuedToken, form: AnswerForm): SuccessBody {
  const { accessToken, accessId, terminalId, expand } = token;
  return {
    code: 0,
    msg: 'success',
    requestId: randomUUID(),
    data: { accessId, accessToken, expireTime: expireTime(form), terminalId, expand },
  };
}

/** The `no-token` fault: a success in which the one thing needed is missing. */
export function withoutToken(body: SuccessBody): SuccessBody {
  const { accessToken: _, ...data } = body.data;
  return { ...body, data };
}

export function sendRefusal(response: ServerResponse, { code, message, status, headers }: Refusal): void {
  sendJson(response, { code, msg: message, requestId: randomUUID(), data: {} }, status, headers);
}

function expireTime({ expireTimeForm, vendorNow, remainingMs }: AnswerForm): number | string {
  const expiresAt = vendorNow + remainingMs;
  switch (expireTimeForm) {
    case 'absolute-number':
      return Math.floor(expiresAt / 1000);
    case 'absolute-string':
      return String(Math.floor(expiresAt / 1000));
    case 'lifetime':
      return Math.floor(remainingMs / 1000);
    case 'milliseconds':
      return Math.floor(expiresAt);
  }
}
