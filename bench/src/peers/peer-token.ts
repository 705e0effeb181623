import { hash } from 'node:crypto';
import type { SdkToken } from '../../../src/token/sdk-token.ts';
import type { PeerToken } from './peer.ts';

export function peerToken({ fields, expiresAt }: SdkToken): PeerToken {
  const etag = `"${hash('sha256', JSON.stringify(fields), 'base64url').slice(0, 22)}"`;
  return { fields, etag, expiresAt };
}
