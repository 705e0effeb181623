import type { IncomingMessage, ServerResponse } from 'node:http';
import { BadRequest, readJson, sendJson } from './exchange.ts';
import type { LoginCountsSnapshot } from './login-counts.ts';
import { SettingsError, type VendorSettings } from './vendor-settings.ts';
import type { TokenStanding } from './vendor-world.ts';

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
export async function answerControl(
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
