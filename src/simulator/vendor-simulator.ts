import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, systemClock } from '../token/clock.ts';
import { BadRequest, listen, readJson, refuseForeign, sendJson } from './http-server.ts';
import { LoginEndpoint, type LoginWatcher } from './login-endpoint.ts';
import type { RegisteredApp } from './login-verifier.ts';
import { changeSettings, type VendorSettings } from './vendor-settings.ts';

const LOGIN_PATH = '/openapi/custCloud/app/user/thirdCustLogin';
const CONTROL_ROUTES = 'GET /simulator/state, POST /simulator/configure, POST /simulator/check-token';

/** The app that the simulator accepts by default. It is not secret: it works with the simulator only. */
export const DEMO_APP: RegisteredApp = {
  appId: 'demo-app',
  appToken: 'demo-app-token',
  appKey: 'demo-app-key',
};

export interface VendorSimulatorOptions extends Partial<VendorSettings> {
  /** Default 0: any free port. */
  readonly port?: number;
  readonly host?: string;
  /** Default: {@link DEMO_APP}. */
  readonly apps?: readonly RegisteredApp[];
  readonly clock?: Clock;
  readonly watchLogin?: LoginWatcher;
}

/** Starts a vendor after docs/vendor-login.md, with control calls under `/simulator/`. @throws BadRequest */
export async function startVendorSimulator(options: VendorSimulatorOptions = {}) {
  const { port = 0, host = '127.0.0.1', apps = [DEMO_APP], clock = systemClock, watchLogin, ...initial } = options;
  const endpoint = new LoginEndpoint({ apps, clock, settings: changeSettings(initial), watchLogin });
  const { counts, tokens } = endpoint;
  // The calls that control a running simulator, in process and over HTTP.
  const control = {
    state: () => ({ ...counts.snapshot(), settings: endpoint.settings }),
    /** Changes the given settings, from the next login on. @throws BadRequest */
    configure: (change: Partial<VendorSettings>): void => {
      endpoint.settings = changeSettings(change, endpoint.settings);
    },
    /** The status of the token, as an SDK would find it. */
    checkToken: (accessToken: string) => tokens.statusOf(accessToken, clock.now()),
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.setHeader('date', new Date(endpoint.now()).toUTCString());
    if (request.url?.startsWith('/simulator/')) return answerControl(control, request, response);
    counts.countRequest();
    if (request.url !== LOGIN_PATH) throw new BadRequest(`the vendor answers at ${LOGIN_PATH}`, 404);
    if (request.method !== 'POST') throw new BadRequest('thirdCustLogin is a POST', 405);
    return endpoint.answer(request, response);
  };
  const server = await listen(host, port, answer);

  return {
    ...control,
    ...server,
    /** The settings with which a broker logs in here, as the first app. */
    brokerEnvironment: vendorSettings(server.url, apps[0] ?? DEMO_APP),
    /** Successful logins of this terminal. */
    loginsOf: (unionId: string, uniqueId: string) => counts.loginsOf(unionId, uniqueId),
    close: () => {
      endpoint.close();
      return server.close();
    },
  };
}

export type VendorSimulator = Readonly<Awaited<ReturnType<typeof startVendorSimulator>>>;

/** Answers the control calls. They need no authentication. */
async function answerControl(
  control: Pick<VendorSimulator, 'state' | 'configure' | 'checkToken'>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  refuseForeign(request);
  switch (`${request.method} ${request.url}`) {
    case 'GET /simulator/state':
      return sendJson(response, control.state());
    case 'POST /simulator/configure':
      control.configure((await readJson(request)) as Partial<VendorSettings>);
      return sendJson(response, control.state().settings);
    case 'POST /simulator/check-token':
      return sendJson(response, control.checkToken(accessTokenOf(await readJson(request))));
    default:
      throw new BadRequest(`there is no such call; allowed: ${CONTROL_ROUTES}`, 404);
  }
}

function accessTokenOf(body: unknown): string {
  const { accessToken } = Object(body) as { accessToken?: unknown };
  if (typeof accessToken === 'string') return accessToken;
  throw new BadRequest('the body must be {"accessToken": "…"}');
}

/** Settings of a broker that logs in to the simulator at `url`. */
export function vendorSettings(
  url: string,
  { appId, appToken, appKey, accessId }: RegisteredApp = DEMO_APP,
): Record<string, string> {
  return {
    VENDOR_BASE_URL: url,
    VENDOR_APP_ID: appId,
    VENDOR_APP_TOKEN: appToken,
    VENDOR_APP_KEY: appKey,
    ...(accessId && { VENDOR_ACCESS_ID: accessId }),
  };
}
