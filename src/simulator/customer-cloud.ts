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
import { BadRequest, listen, readJson, sendJson } from './exchange.ts';

interface SessionKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly published: JWK;
}

/** The keys a customer cloud signs sessions with: the newest signs, all are published until retired. */
class SessionKeys {
  #keys: readonly SessionKey[] = [];

  /** Adds a key and signs with it from now on. */
  async rotate(): Promise<void> {
    this.#keys = [await newKey(), ...this.#keys];
  }

  /** Publishes none but the newest. */
  retireOld(): void {
    this.#keys = this.#keys.slice(0, 1);
  }

  /** RFC 7517 §5. */
  published(): { keys: JWK[] } {
    return { keys: this.#keys.map((key) => key.published) };
  }

  async sign(claims: JWTPayload): Promise<string> {
    const [key] = this.#keys;
    if (key === undefined) throw new Error('rotate() makes the first key');
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: key.kid }).sign(key.privateKey);
  }
}

async function newKey(): Promise<SessionKey> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, privateKey, published: { ...jwk, kid, alg: 'ES256', use: 'sig' } };
}

const ROUTES = 'POST /login, GET /.well-known/jwks.json';

export interface CustomerCloudOptions {
  /** 0, the default: any free one. */
  readonly port?: number;
  readonly host?: string;
  readonly clock?: Clock;
  readonly issuer?: string;
  readonly audience?: string;
  /** How long a session lasts; an hour by default. */
  readonly sessionSeconds?: number;
}

export interface SessionRequest {
  readonly unionId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region?: string;
  /** Instead of the cloud's own; negative: expired when issued. */
  readonly sessionSeconds?: number;
  /** Further claims, or others in place of the usual ones. */
  readonly claims?: JWTPayload;
}

export interface CustomerCloud {
  readonly url: string;
  readonly port: number;
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: string;
  /** A session as `/login` gives it: a JWT, ES256. */
  issueSession(request: SessionRequest): Promise<string>;
  /** Signs with a new key from now on; the old ones stay published. */
  rotateKey(): Promise<void>;
  /** Publishes none but the newest key. */
  retireOldKeys(): void;
  /** How often the keys were fetched. */
  jwksFetches(): number;
  close(): Promise<void>;
}

/** A customer cloud in little: accounts without passwords, sessions as JWTs, keys as a JWKS. */
export async function startCustomerCloud(options: CustomerCloudOptions = {}): Promise<CustomerCloud> {
  const { port = 0, host = '127.0.0.1', clock = systemClock, sessionSeconds = 3600 } = options;
  const { issuer = 'https://accounts.example', audience = 'sdk-token-broker' } = options;
  const keys = new SessionKeys();
  await keys.rotate();
  let fetches = 0;

  const issueSession = (request: SessionRequest): Promise<string> => {
    const iat = Math.floor(clock.now() / 1000);
    return keys.sign({
      sub: request.unionId,
      ...(request.region !== undefined && { region: request.region }),
      iss: issuer,
      aud: audience,
      iat,
      exp: iat + (request.sessionSeconds ?? sessionSeconds),
      ...request.claims,
    });
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    switch (`${request.method} ${request.url}`) {
      case 'POST /login': {
        const session = await issueSession(readAccount(await readJson(request)));
        return sendJson(response, { session, expiresIn: sessionSeconds });
      }
      case 'GET /.well-known/jwks.json':
        fetches += 1;
        return sendJson(response, keys.published());
      default:
        throw new BadRequest(`there is no such call; allowed: ${ROUTES}`, 404);
    }
  };
  const listening = await listen(host, port, answer);

  return {
    ...listening,
    issuer,
    audience,
    jwksUrl: `${listening.url}/.well-known/jwks.json`,
    issueSession,
    rotateKey: () => keys.rotate(),
    retireOldKeys: () => keys.retireOld(),
    jwksFetches: () => fetches,
  };
}

function readAccount(body: unknown): SessionRequest {
  const { account, region } = Object(body) as { account?: unknown; region?: unknown };
  if (typeof account !== 'string' || account === '') throw new BadRequest('account must be a string, not empty');
  const unionId = createHash('sha256').update(account).digest('hex').slice(0, 32);
  if (region === undefined) return { unionId };
  if (typeof region === 'string' && REGION_PATTERN.test(region)) return { unionId, region };
  throw new BadRequest('region must be two upper-case letters (ISO 3166-1), or left out');
}
