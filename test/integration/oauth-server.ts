import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { type Configuration, Provider } from 'oidc-provider';

export const AUDIENCE = 'urn:camera-app';
/** Credentials for HTTP Basic must be form-encoded first (RFC 6749 §2.3.1). These only work if they are. */
export const BROKER = { clientId: 'sdk-token broker:1', clientSecret: 'secret: with+100%&more/=' };
const ACCOUNTS = ['somebody', 'somebody-else'] as const;
const PHONE_SECRET = 'secret-of-the-app';

type Account = (typeof ACCOUNTS)[number];
type TokenFormat = 'jwt' | 'opaque';

/** A signing key with its private part. */
export async function newSigningKey(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg: 'RS256', use: 'sig' };
}

/** A real OAuth server. It issues access tokens, answers introspections, and can be stopped and started again. */
export class OAuthServer {
  readonly #format: TokenFormat;
  readonly #calls: string[] = [];
  #server = createServer();
  #port = 0;
  #answer: ReturnType<Provider['callback']> = () => Promise.resolve();

  constructor(format: TokenFormat) {
    this.#format = format;
  }

  get issuer(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  url(path: '/jwks' | '/token/introspection'): URL {
    return new URL(path, this.issuer);
  }

  /** The number of calls of this path so far. */
  calls(path: string): number {
    return this.#calls.filter((called) => called === path).length;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => {
      this.#calls.push(request.url ?? '');
      this.#answer(request, response);
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  /** From now on, publishes only these keys and signs with the first one. Earlier opaque tokens become invalid. */
  publish(keys: readonly [JWK, ...JWK[]]): void {
    this.#answer = new Provider(this.issuer, configuration(this.#format, keys)).callback();
  }

  async issue(account: Account): Promise<string> {
    const form = { grant_type: 'client_credentials', resource: AUDIENCE, scope: 'camera' };
    const { access_token: token } = (await this.#post('/token', account, form).then((answer) => answer.json())) as {
      access_token: string;
    };
    return token;
  }

  async revoke(account: Account, token: string): Promise<void> {
    await this.#post('/token/revocation', account, { token });
  }

  async #post(path: string, account: Account, form: Record<string, string>): Promise<Response> {
    const authorization = `Basic ${btoa(`${account}:${PHONE_SECRET}`)}`;
    const body = new URLSearchParams(form);
    const answer = await fetch(new URL(path, this.issuer), { method: 'POST', headers: { authorization }, body });
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    return answer;
  }
}

function configuration(format: TokenFormat, keys: readonly [JWK, ...JWK[]]): Configuration {
  const without = { redirect_uris: [], response_types: [] };
  const phone = { ...without, client_secret: PHONE_SECRET, grant_types: ['client_credentials'], scope: 'camera' };
  return {
    jwks: { keys: [...keys] },
    clients: [
      ...ACCOUNTS.map((account) => ({ ...phone, client_id: account })),
      { ...without, client_id: BROKER.clientId, client_secret: BROKER.clientSecret, grant_types: [] },
    ],
    scopes: ['camera'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'camera',
          audience: AUDIENCE,
          accessTokenTTL: 86_400,
          accessTokenFormat: format,
          jwt: { sign: { alg: 'RS256', kid: keys[0].kid } },
        }),
      },
    },
    extraTokenClaims: (_context, token) => ({ account: { id: `account-of-${token.clientId}`, country: 'de' } }),
  };
}
