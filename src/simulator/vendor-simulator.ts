import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, systemClock } from '../token/clock.ts';
import { BadRequest, listen, readJson, sendJson } from './exchange.ts';
import { LoginCounts, type LoginCountsSnapshot } from './login-counts.ts';
import { LoginEndpoint } from './login-endpoint.ts';
import type { VendorApp } from './request-verification.ts';
import { afterFault, changeSettings, SettingsError, type VendorSettings } from './vendor-settings.ts';
import { type TokenStanding, VendorWorld } from './vendor-world.ts';

const ROUTES = 'GET /simulator/state, POST /simulator/configure, POST /simulator/check-token';

export interface VendorState extends LoginCountsSnapshot {
  readonly settings: VendorSettings;
}

/** What can be asked of a running simulator, in process and over HTTP. */
export interface VendorControl {
  state(): VendorState;
  /** Changes what is given, from the next login on. @throws SettingsError */
  configure(change: Partial<VendorSettings>): void;
  /** What an SDK would find out by using the token. */
  checkToken(accessToken: string): TokenStanding;
}

/** The simulator's own endpoints: what a test or a person at a terminal asks of it, without authentication. */
async function answerControl(
  simulator: VendorControl,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  switch (`${request.method} ${request.url}`) {
    case 'GET /simulator/state':
      return sendJson(response, simulator.state());
    case 'POST /simulator/configure': {
      configure(simulator, await readJson(request));
      return sendJson(response, simulator.state().settings);
    }
    case 'POST /simulator/check-token':
      return sendJson(response, simulator.checkToken(accessTokenOf(await readJson(request))));
    default:
      throw new BadRequest(`there is no such call; allowed: ${ROUTES}`, 404);
  }
}

function configure(simulator: VendorControl, change: unknown): void {
  try {
    simulator.configure(change as Partial<VendorSettings>);
  } catch (error) {
    throw error instanceof SettingsError ? new BadRequest(error.message) : error;
  }
}

function accessTokenOf(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'accessToken' in body && typeof body.accessToken === 'string') {
    return body.accessToken;
  }
  throw new BadRequest('the body must be {"accessToken": "…"}');
}

const LOGIN_PATH = '/openapi/custCloud/app/user/thirdCustLogin';

/** The app the simulator knows unless told others. Not a secret: it opens nothing but a simulator. */
export const DEMO_APP: VendorApp = {
  appId: 'demo-app',
  appToken: 'demo-app-token',
  appKey: 'demo-app-key',
};

export interface VendorSimulatorOptions extends Partial<VendorSettings> {
  /** 0, the default: any free one. */
  readonly port?: number;
  readonly host?: string;
  readonly apps?: readonly VendorApp[];
  readonly clock?: Clock;
}

export interface VendorSimulator extends VendorControl {
  readonly url: string;
  readonly port: number;
  /** Logins of this terminal that took effect. */
  loginsOf(unionId: string, uniqueId: string): number;
  close(): Promise<void>;
}

/**
 * A vendor that speaks protocol.md and forgives nothing: `thirdCustLogin`, and the control calls under `/simulator/`.
 * @throws SettingsError
 */
export async function startVendorSimulator(options: VendorSimulatorOptions = {}): Promise<VendorSimulator> {
  const { port = 0, host = '127.0.0.1', apps = [DEMO_APP], clock = systemClock, ...initial } = options;
  let settings = changeSettings(initial);
  const counts = new LoginCounts();
  const world = new VendorWorld();
  const closing = new AbortController();
  // Every login that is being answered listens.
  setMaxListeners(0, closing.signal);
  const endpoint = new LoginEndpoint({
    apps,
    clock,
    counts,
    world,
    settings: () => settings,
    takeFault: () => {
      const { fault } = settings;
      settings = afterFault(settings);
      return fault;
    },
    closing: closing.signal,
  });
  const control: VendorControl = {
    state: () => ({ ...counts.snapshot(), settings }),
    configure: (change) => {
      settings = changeSettings(change, settings);
    },
    checkToken: (accessToken) => world.check(accessToken, clock.now()),
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.setHeader('date', new Date(clock.now() + settings.clockOffsetMs).toUTCString());
    if (request.url?.startsWith('/simulator/')) return answerControl(control, request, response);
    counts.request();
    if (request.url !== LOGIN_PATH) throw new BadRequest(`the vendor answers at ${LOGIN_PATH}`, 404);
    if (request.method !== 'POST') throw new BadRequest('thirdCustLogin is a POST', 405);
    return endpoint.answer(request, response);
  };
  const listening = await listen(host, port, answer);

  return {
    ...control,
    url: listening.url,
    port: listening.port,
    loginsOf: (unionId, uniqueId) => counts.loginsOf(unionId, uniqueId),
    close: () => {
      closing.abort();
      return listening.close();
    },
  };
}
