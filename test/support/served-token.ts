import type { ServedToken } from '../../src/token/sdk-token.ts';

/** The accessToken of an answer. */
export function accessTokenOf({ body }: ServedToken): string {
  return JSON.parse(body).accessToken;
}
