import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, systemClock } from '../token/clock.ts';
import { BadRequest } from './exchange.ts';
import { listen } from './listening.ts';
import { LoginCounts } from './login-counts.ts';
import { LoginEndpoint } from './login-endpoint.ts';
import type { VendorApp } from './request-verification.ts';
import { answerControl, type VendorControl } from './vendor-control.ts';
import { afterFault, changeSettings, type VendorSettings } from './vendor-settings.ts';
import { VendorWorld } from './vendor-world.ts';

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
