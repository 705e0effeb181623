import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  BadRequest,
  type HttpServer,
  listen,
  readBody,
  readJson,
  refuseForeign,
  sendJson,
} from '../simulator/http-server.ts';
import type { EndedLogin } from '../simulator/login-endpoint.ts';
import type { VendorSettings } from '../simulator/vendor-settings.ts';
import type { VendorSimulator } from '../simulator/vendor-simulator.ts';
import { systemClock } from '../token/clock.ts';

/** The newest events that the page can show. */
const MAX_EVENTS = 50;
const READ_TIMEOUT_MS = 20_000;
/** Headers that belong to one connection, or that Node sets itself. */
const OWN_HEADERS: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length']);

interface DemoConsoleOptions {
  readonly vendor: Pick<VendorSimulator, 'state' | 'configure'>;
  readonly broker: { readonly url: string; readonly adminUrl: string };
  readonly adminToken: string;
  /** The account that the page shows, and the path of its token. */
  readonly unionId: string;
  readonly tokenPath: string;
  /** Issues a session of this account. */
  readonly session: () => Promise<string>;
}

type DemoEvent = { readonly at: number } & (
  | { readonly kind: 'read'; readonly token?: string; readonly code?: string }
  | { readonly kind: 'login'; readonly result: EndedLogin['result']; readonly isBackground: boolean }
);

/** The body of an answer to `GET /sdk-token`: a token, or a problem. */
type TokenAnswer = Readonly<Record<string, unknown>>;

/** A token is secret, so the demo shows its beginning and its end. */
export function shorten(token: string): string {
  return `${token.slice(0, 8)}…${token.slice(-4)}`;
}

/** The events of the demo, for its console. */
export class DemoEvents {
  readonly #events: (DemoEvent & { readonly durationMs: number; readonly id: number })[] = [];
  #lastId = 0;
  #waitingApps = 0;

  /** Call it when the vendor receives a login, and the returned function when the login ends. */
  loginReceived(): (ended: EndedLogin) => void {
    const at = systemClock.now();
    return ({ result }) => this.#add({ kind: 'login', at, result, isBackground: this.#waitingApps === 0 });
  }

  /** Runs a request of an app for a token, and records it. */
  async appRequest(ask: () => Promise<TokenAnswer>): Promise<TokenAnswer> {
    const at = systemClock.now();
    this.#waitingApps += 1;
    try {
      const answer = await ask();
      const { accessToken, code } = answer;
      const outcome = typeof accessToken === 'string' ? { token: shorten(accessToken) } : { code: String(code) };
      this.#add({ kind: 'read', at, ...outcome });
      return answer;
    } finally {
      this.#waitingApps -= 1;
    }
  }

  /** The newest last. */
  list(): readonly object[] {
    return this.#events;
  }

  /** Adds an event that ends now. */
  #add(event: DemoEvent): void {
    this.#lastId += 1;
    this.#events.push({ ...event, durationMs: systemClock.now() - event.at, id: this.#lastId });
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
  }
}

/** Serves the demo's console on loopback: it adds the admin token to calls, and refuses those of other sites. */
export async function startDemoConsole(options: DemoConsoleOptions, events: DemoEvents): Promise<HttpServer> {
  const { vendor, broker, adminToken, unionId } = options;
  const authorization = `Bearer ${adminToken}`;

  const state = async () => {
    const answer = await fetch(`${broker.adminUrl}/accounts/${unionId}`, { headers: { authorization } });
    const { terminals = [] } = (await answer.json()) as { terminals?: Readonly<Record<string, string>>[] };
    const times = terminals[0];
    const epochMs = (name: string) => Date.parse(times?.[name] ?? '');
    return {
      now: systemClock.now(),
      unionId,
      fault: vendor.state().settings.fault,
      token: times
        ? { issuedAt: epochMs('issuedAt'), refreshAt: epochMs('refreshAt'), expiresAt: epochMs('expiresAt') }
        : null,
      events: events.list(),
    };
  };

  const readAsApp = async (): Promise<TokenAnswer> => {
    const headers = { authorization: `Bearer ${await options.session()}` };
    const url = broker.url + options.tokenPath;
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(READ_TIMEOUT_MS) });
    return (await answer.json()) as TokenAnswer;
  };

  const passOn = async (url: string, request: IncomingMessage, response: ServerResponse) => {
    const { method = 'GET', headers } = request;
    const body = method === 'POST' ? await readBody(request) : undefined;
    const type = headers['content-type'];
    const answer = await fetch(broker.adminUrl + url, {
      method,
      headers: { authorization, ...(type !== undefined && { 'content-type': type }) },
      ...(body !== undefined && { body }),
    });
    for (const [name, value] of answer.headers) if (!OWN_HEADERS.has(name)) response.setHeader(name, value);
    const content = Buffer.from(await answer.arrayBuffer());
    // The attribute tells the page that it needs no token, and has the demo's calls.
    const isPage = url === '/console' && answer.ok;
    response.writeHead(answer.status).end(isPage ? content.toString().replace('<html ', '<html data-demo ') : content);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    refuseForeign(request);
    // The path as `fetch` sends it: without `..`.
    const { pathname, search } = new URL(request.url ?? '/', broker.adminUrl);
    const call = `${request.method} ${pathname}`;
    if (call === 'GET /demo/state') return sendJson(response, await state(), 200, { 'cache-control': 'no-store' });
    if (call === 'POST /demo/read') {
      await events.appRequest(readAsApp);
      return sendJson(response, {});
    }
    if (call === 'POST /demo/vendor') {
      const { fault } = Object(await readJson(request)) as Pick<VendorSettings, 'fault'>;
      vendor.configure({ fault });
      return sendJson(response, {});
    }
    if (/^(GET|DELETE|POST) \/(console|status|accounts)(\/|$)/.test(call))
      return passOn(pathname + search, request, response);
    throw new BadRequest('the demo has only its console here: /console', 404);
  };
  return listen('127.0.0.1', 0, answer);
}
