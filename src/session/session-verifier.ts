import type { Clock } from '../token/clock.ts';
import type { Observer } from '../token/observer.ts';
import type { BelievedPrincipal, SessionVerifier } from '../token/principal.ts';
import { ForwardVerifier, type ForwardVerifierOptions } from './forward-verifier.ts';
import { IntrospectionVerifier, type IntrospectionVerifierOptions } from './introspection-verifier.ts';
import { JwtVerifier, type JwtVerifierOptions } from './jwt-verifier.ts';
import { SessionCache } from './session-cache.ts';

type Mode<Name extends string, Options> = { readonly mode: Name } & Omit<Options, 'clock'>;

/** How sessions are checked. */
export type SessionOptions = (
  | Mode<'jwt', JwtVerifierOptions>
  | Mode<'introspection', IntrospectionVerifierOptions>
  | Mode<'forward', ForwardVerifierOptions>
) & {
  /** How long an accepted session is believed without asking again; 0: never. */
  readonly cacheSeconds: number;
};

/** So that an app which repeats a refused session does not reach the session server each time. */
const REFUSAL_MS = 2_000;

/** @throws Error that says what is allowed, when a key or an algorithm of JWTs cannot be used */
export function createSessionVerifier(
  options: SessionOptions,
  clock: Clock,
  observer: Observer,
): SessionVerifier<BelievedPrincipal> {
  const { cacheSeconds, mode } = options;
  const refusalMs = mode === 'jwt' ? 0 : REFUSAL_MS;
  return new SessionCache(verifierOf(options, clock), { cacheSeconds, refusalMs, clock, observer });
}

function verifierOf(options: SessionOptions, clock: Clock): SessionVerifier {
  switch (options.mode) {
    case 'jwt':
      return new JwtVerifier({ ...options, clock });
    case 'introspection':
      return new IntrospectionVerifier({ ...options, clock });
    case 'forward':
      return new ForwardVerifier({ ...options, clock });
  }
}
