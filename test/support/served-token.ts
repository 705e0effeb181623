import type { VendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import type { ServedToken } from '../../src/token/sdk-token.ts';

type Answer = Pick<ServedToken, 'body'>;

/** The accessToken of an answer. */
export function accessTokenOf({ body }: Answer): string {
  return JSON.parse(body).accessToken;
}

/**
 * Whether the vendor takes the token of an answer, or took it when it was asked for and only its time is over: the
 * machine may have stood still meanwhile.
 * @param askedAt epoch ms
 */
export function wasTaken(vendor: Pick<VendorSimulator, 'checkToken'>, { body }: Answer, askedAt: number): boolean {
  const { accessToken, expireTime } = JSON.parse(body);
  const { live, expired, replaced } = vendor.checkToken(accessToken);
  return live || (expired && !replaced && Number(expireTime) * 1_000 > askedAt);
}
