import type { SessionVerifier } from '../token/principal.ts';
import type { Text } from '../token/text.ts';
import { createForwardVerifier, type ForwardVerifierOptions } from './forward-verifier.ts';
import { createIntrospectionVerifier, type IntrospectionVerifierOptions } from './introspection-verifier.ts';
import { createJwtVerifier, type JwtVerifierOptions } from './jwt-verifier.ts';
import { checkQueue, SessionCache, type SessionCacheOptions } from './session-cache.ts';
import { questionQueue, type SessionServerAccess } from './session-server.ts';

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

/** Settings with which the broker also accepts sessions that were not issued for it. The start and `check` warn. */
export function acceptanceRisks(options: SessionOptions): { readonly risk: Text; readonly fix: Text }[] {
  const another: Text = { en: 'also one that was issued for another service', zh: '包括为其他服务签发的' };
  if (options.mode === 'jwt') {
    const ofIssuer = {
      risk: {
        en: 'SESSION_JWT_ISSUER is any: a session of any issuer is accepted, if one of the keys has signed it',
        zh: 'SESSION_JWT_ISSUER 为 any：只要由其中一个密钥签名，任何签发者的会话都会被接受',
      },
      fix: {
        en: 'Set SESSION_JWT_ISSUER to the claim iss of your sessions.',
        zh: '把 SESSION_JWT_ISSUER 设为你的会话中声明 iss 的值。',
      },
    };
    const ofAudience = {
      risk: {
        en: `SESSION_JWT_AUDIENCE is any: every session that one of the keys has signed is accepted, ${another.en}`,
        zh: `SESSION_JWT_AUDIENCE 为 any：由其中一个密钥签名的会话都会被接受，${another.zh}`,
      },
      fix: {
        en: 'Set SESSION_JWT_AUDIENCE to a value in the claim aud that only sessions for the broker have.',
        zh: '把 SESSION_JWT_AUDIENCE 设为只有发给 Broker 的会话才有的声明 aud 的值。',
      },
    };
    return [options.issuer === undefined ? [ofIssuer] : [], options.audience === undefined ? [ofAudience] : []].flat();
  }
  if (options.mode === 'forward' || options.audience !== undefined || options.scopes !== undefined) return [];
  return [
    {
      risk: {
        en: `SESSION_INTROSPECTION_AUDIENCE and SESSION_INTROSPECTION_SCOPE are not set: every active token of the OAuth server is accepted, ${another.en}`,
        zh: `没有设置 SESSION_INTROSPECTION_AUDIENCE 和 SESSION_INTROSPECTION_SCOPE：OAuth 服务器的任何有效令牌都会被接受，${another.zh}`,
      },
      fix: {
        en: 'Set SESSION_INTROSPECTION_AUDIENCE or SESSION_INTROSPECTION_SCOPE to a value that only tokens for the broker have.',
        zh: '把 SESSION_INTROSPECTION_AUDIENCE 或 SESSION_INTROSPECTION_SCOPE 设为只有发给 Broker 的令牌才有的值。',
      },
    },
  ];
}

/** An app that repeats a refused session reaches the session server at most once in this time. */
const REFUSAL_MS = 2_000;

/** @throws Error that describes the required key of JWTs, if the key cannot be used */
export function createSessionVerifier(
  options: SessionOptions,
  environment: Pick<SessionCacheOptions, 'maxBytes' | 'observer' | 'announcements'> & SessionServerAccess,
): SessionCache {
  const { cacheSeconds, mode } = options;
  const { clock } = environment;
  const ofMode =
    mode === 'jwt'
      ? { refusalMs: 0, schedule: checkQueue(clock), isCheckLocal: true }
      : { refusalMs: REFUSAL_MS, schedule: questionQueue(clock), isCheckLocal: false };
  return new SessionCache(verifierFor(options, environment), { ...environment, ...ofMode, cacheSeconds });
}

/** The session server, or the one that publishes the keys; `undefined` if checks need no server. */
export function serverUrl(options: SessionOptions): URL | undefined {
  if (options.mode !== 'jwt') return options.url;
  return 'jwksUrl' in options.key ? options.key.jwksUrl : undefined;
}

/** Checks each session anew. @throws Error like {@link createSessionVerifier} */
export function verifierFor(options: SessionOptions, access: SessionServerAccess): SessionVerifier {
  switch (options.mode) {
    case 'jwt':
      return createJwtVerifier({ ...options, ...access });
    case 'introspection':
      return createIntrospectionVerifier({ ...options, ...access });
    case 'forward':
      return createForwardVerifier({ ...options, ...access });
  }
}
