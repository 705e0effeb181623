import { createRemoteJWKSet, customFetch, type FetchImplementation, type RemoteJWKSet } from 'jose';

/** From connect to last byte. */
const TIMEOUT_MS = 3_000;
const MAX_BYTES = 1_048_576;
/** A session naming an unknown key may cause no more than one fetch in this time. */
const COOLDOWN_MS = 30_000;
/** How long a key that was withdrawn may still be believed. */
const MAX_AGE_MS = 600_000;

/** The keys published at `url` (RFC 7517 §5), fetched when first needed. Redirects are not followed. */
export function remoteJwks(url: URL): RemoteJWKSet {
  return createRemoteJWKSet(url, {
    timeoutDuration: TIMEOUT_MS,
    cooldownDuration: COOLDOWN_MS,
    cacheMaxAge: MAX_AGE_MS,
    [customFetch]: fetchBounded,
  });
}

const fetchBounded: FetchImplementation = async (url, options) => {
  const response = await fetch(url, options);
  if (response.status !== 200) {
    // An unread body would keep its connection.
    await response.body?.cancel();
    throw new Error(`The JWKS URL answered ${response.status} instead of 200`);
  }
  let read = 0;
  const bounded = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      read += chunk.byteLength;
      if (read > MAX_BYTES) controller.error(new RangeError(`A JSON Web Key Set is at most ${MAX_BYTES} bytes`));
      else controller.enqueue(chunk);
    },
  });
  return new Response(response.body?.pipeThrough(bounded));
};
