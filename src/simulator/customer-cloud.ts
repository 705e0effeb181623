import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { systemClock } from '../token/clock.ts';
import { ASSIGNED_REGION_PATTERN } from '../token/subject.ts';
import { BadRequest, listen, readJson, refuseForeign, sendJson } from './http-server.ts';

const ROUTES = 'POST /login, GET /.well-known/jwks.json';
const ISSUER = 'https://accounts.example';
const AUDIENCE = 'sdk-token-broker';

export interface CustomerCloudOptions {
  /** Default 0: any free port. */
  readonly port?: number;
  readonly host?: string;
  /** Lifetime of a session. Default: one hour. */
  readonly sessionSeconds?: number;
}

interface SessionRequest {
  readonly unionId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region?: string;
  /** Additional claims. They override the standard ones. */
  readonly claims?: JWTPayload;
}

/** Starts a small customer cloud: accounts without passwords, sessions as JWTs, keys as a JWKS. */
export async function startCustomerCloud(options: CustomerCloudOptions = {}) {
  const { port = 0, host = '127.0.0.1', sessionSeconds = 3600 } = options;
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);

  /** Issues a session like `POST /login` does: a JWT, signed with ES256. */
  const issueSession = ({ unionId, region, claims: more }: SessionRequest): Promise<string> => {
    const iat = Math.floor(systemClock.now() / 1000);
    const claims = {
      sub: unionId,
      ...(region !== undefined && { region }),
      iss: ISSUER,
      aud: AUDIENCE,
      iat,
      exp: iat + sessionSeconds,
      ...more,
    };
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    refuseForeign(request);
    const { pathname } = new URL(request.url ?? '/', 'http://cloud');
    switch (`${request.method} ${pathname}`) {
      case 'POST /login': {
        const account = readAccount(await readJson(request));
        const session = await issueSession(account);
        // The broker knows the account by its unionId: the internal API takes it, not the name.
        return sendJson(response, { session, expiresIn: sessionSeconds, unionId: account.unionId });
      }
      case 'GET /.well-known/jwks.json':
        // RFC 7517 section 5.
        return sendJson(response, { keys: [{ ...jwk, kid, alg: 'ES256', use: 'sig' }] });
      default:
        throw new BadRequest(`there is no such call; allowed: ${ROUTES}`, 404);
    }
  };
  const server = await listen(host, port, answer);
  const jwksUrl = `${server.url}/.well-known/jwks.json`;

  return {
    ...server,
    issuer: ISSUER,
    audience: AUDIENCE,
    jwksUrl,
    /** The settings with which a broker accepts the sessions of this cloud. */
    brokerEnvironment: {
      SESSION_JWT_JWKS_URL: jwksUrl,
      SESSION_JWT_ISSUER: ISSUER,
      SESSION_JWT_AUDIENCE: AUDIENCE,
    },
    unionIdOf,
    issueSession,
  };
}

export type CustomerCloud = Readonly<Awaited<ReturnType<typeof startCustomerCloud>>>;

/** The unionId that the cloud gives to an account name. */
function unionIdOf(account: string): string {
  return createHash('sha256').update(account).digest('hex').slice(0, 32);
}

function readAccount(body: unknown): SessionRequest {
  const { account, region } = Object(body) as { account?: unknown; region?: unknown };
  if (typeof account !== 'string' || account === '') throw new BadRequest('account must be a string that is not empty');
  const unionId = unionIdOf(account);
  if (region === undefined) return { unionId };
  if (typeof region === 'string' && ASSIGNED_REGION_PATTERN.test(region)) return { unionId, region };
  throw new BadRequest('region must be an assigned country code (ISO 3166-1), two upper-case letters, or left out');
}
