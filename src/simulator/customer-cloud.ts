import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose';
import { type Clock, systemClock } from '../token/clock.ts';
import { REGION_PATTERN } from '../token/subject.ts';
import { BadRequest, type HttpServer, listen, readJson, sendJson } from './http-server.ts';

interface SessionKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly published: JWK;
}

async function newKey(): Promise<SessionKey> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, privateKey, published: { ...jwk, kid, alg: 'ES256', use: 'sig' } };
}

const ROUTES = 'POST /login, GET /.well-known/jwks.json';

export interface CustomerCloudOptions {
  /** Default 0: any free port. */
  readonly port?: number;
  readonly host?: string;
  readonly clock?: Clock;
  readonly issuer?: string;
  readonly audience?: string;
  /** Lifetime of a session. Default: one hour. */
  readonly sessionSeconds?: number;
}

export interface SessionRequest {
  readonly unionId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region?: string;
  /** Lifetime of this session. A negative number makes a session that has already expired. */
  readonly sessionSeconds?: number;
  /** Additional claims. They override the standard ones. */
  readonly claims?: JWTPayload;
}

export interface CustomerCloud extends HttpServer {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: string;
  /** The settings with which a broker accepts the sessions of this cloud. */
  readonly brokerEnvironment: Readonly<Record<string, string>>;
  /** Issues a session like `POST /login` does: a JWT, signed with ES256. */
  issueSession(request: SessionRequest): Promise<string>;
  /** Signs with a new key from now on. The old keys stay published. */
  rotateKey(): Promise<void>;
  /** Publishes only the newest key. */
  retireOldKeys(): void;
  /** Number of requests for the keys. */
  jwksFetches(): number;
}

/** Starts a small customer cloud: accounts without passwords, sessions as JWTs, keys as a JWKS. */
export async function startCustomerCloud(options: CustomerCloudOptions = {}): Promise<CustomerCloud> {
  const { port = 0, host = '127.0.0.1', clock = systemClock, sessionSeconds = 3600 } = options;
  const { issuer = 'https://accounts.example', audience = 'sdk-token-broker' } = options;
  let newestKey = await newKey();
  let oldKeys: readonly SessionKey[] = [];
  let fetches = 0;

  const issueSession = (request: SessionRequest): Promise<string> => {
    const iat = Math.floor(clock.now() / 1000);
    const claims = {
      sub: request.unionId,
      ...(request.region !== undefined && { region: request.region }),
      iss: issuer,
      aud: audience,
      iat,
      exp: iat + (request.sessionSeconds ?? sessionSeconds),
      ...request.claims,
    };
    const { kid, privateKey } = newestKey;
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    switch (`${request.method} ${request.url}`) {
      case 'POST /login': {
        const session = await issueSession(readAccount(await readJson(request)));
        return sendJson(response, { session, expiresIn: sessionSeconds });
      }
      case 'GET /.well-known/jwks.json':
        fetches += 1;
        // RFC 7517 section 5.
        return sendJson(response, { keys: [newestKey, ...oldKeys].map(({ published }) => published) });
      default:
        throw new BadRequest(`there is no such call; allowed: ${ROUTES}`, 404);
    }
  };
  const server = await listen(host, port, answer);
  const jwksUrl = `${server.url}/.well-known/jwks.json`;

  return {
    ...server,
    issuer,
    audience,
    jwksUrl,
    brokerEnvironment: {
      SESSION_JWT_JWKS_URL: jwksUrl,
      SESSION_JWT_ISSUER: issuer,
      SESSION_JWT_AUDIENCE: audience,
    },
    issueSession,
    rotateKey: async () => {
      const key = await newKey();
      oldKeys = [newestKey, ...oldKeys];
      newestKey = key;
    },
    retireOldKeys: () => {
      oldKeys = [];
    },
    jwksFetches: () => fetches,
  };
}

function readAccount(body: unknown): SessionRequest {
  const { account, region } = Object(body) as { account?: unknown; region?: unknown };
  if (typeof account !== 'string' || account === '') throw new BadRequest('account must be a string that is not empty');
  const unionId = createHash('sha256').update(account).digest('hex').slice(0, 32);
  if (region === undefined) return { unionId };
  if (typeof region === 'string' && REGION_PATTERN.test(region)) return { unionId, region };
  throw new BadRequest('region must be two upper-case letters (ISO 3166-1), or left out');
}
