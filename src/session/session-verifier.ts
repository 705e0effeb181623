import type { SessionVerifier } from '../token/principal.ts';
import { ForwardVerifier, type ForwardVerifierOptions } from './forward-verifier.ts';
import { IntrospectionVerifier, type IntrospectionVerifierOptions } from './introspection-verifier.ts';
import { JwtVerifier, type JwtVerifierOptions } from './jwt-verifier.ts';
import { CheckQueue, SessionCache, type SessionCacheOptions } from './session-cache.ts';
import { QuestionQueue, type SessionServerAccess } from './session-server.ts';

type Mode<Name extends string, Options> = { readonly mode: Name } & Omit<Options, keyof SessionServerAccess>;

/** How the broker checks sessions, one type for each mode of `SESSION_MODE`. */
export type SessionOptions = (
  | Mode<'jwt', JwtVerifierOptions>
  | Mode<'introspection', IntrospectionVerifierOptions>
  | Mode<'forward', ForwardVerifierOptions>
) & {
  /** How long an accepted session is used without a new check; 0: each request causes a check. */
  readonly cacheSeconds: number;
};

/** Whether the broker accepts every active token of the OAuth server, also one that was issued for another service. */
export function acceptsForeignTokens(options: SessionOptions): boolean {
  return options.mode === 'introspection' && options.audience === undefined && options.scopes === undefined;
}

/** An app that repeats a refused session reaches the session server at most once in this time. */
const REFUSAL_MS = 2_000;

/** @throws Error that names the allowed values, if the key or an algorithm for JWTs cannot be used */
export function createSessionVerifier(
  options: SessionOptions,
  environment: Pick<SessionCacheOptions, 'maxBytes' | 'observer'> & SessionServerAccess,
): SessionCache {
  const { cacheSeconds, mode } = options;
  const { clock } = environment;
  const ofMode =
    mode === 'jwt'
      ? { refusalMs: 0, schedule: new CheckQueue(clock) }
      : { refusalMs: REFUSAL_MS, schedule: new QuestionQueue(clock) };
  return new SessionCache(verifierFor(options, environment), { ...environment, ...ofMode, cacheSeconds });
}

/** Whether checks need a server: the session server, or the one that publishes the keys. */
export function asksServer(options: SessionOptions): boolean {
  return options.mode !== 'jwt' || 'jwksUrl' in options.key;
}

/** Checks each session anew. @throws Error like {@link createSessionVerifier} */
export function verifierFor(options: SessionOptions, access: SessionServerAccess): SessionVerifier {
  switch (options.mode) {
    case 'jwt':
      return new JwtVerifier({ ...options, ...access });
    case 'introspection':
      return new IntrospectionVerifier({ ...options, ...access });
    case 'forward':
      return new ForwardVerifier({ ...options, ...access });
  }
}
