import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import { loadConfig } from '../config/config.ts';
import { createLogger } from '../logger.ts';
import { type Service, startService } from '../service.ts';
import { type CustomerCloud, startCustomerCloud } from '../simulator/customer-cloud.ts';
import { startVendorSimulator, type VendorSimulator } from '../simulator/vendor-simulator.ts';
import { systemClock } from '../token/clock.ts';
import type { TOKEN_FIELDS } from '../token/sdk-token.ts';
import { type CommandContext, closeOnSignal, parseFlags } from './command-line.ts';
import { DemoEvents, shorten, startDemoConsole } from './demo-console.ts';

const HELP = `sdk-token-broker demo

Runs the broker with a simulated vendor and customer cloud, plays the whole flow, prints a curl line to try, and runs
until Ctrl-C. It needs no configuration and has no options.`;

const TOKEN_LIFETIME_SECONDS = 14;
const VENDOR_LATENCY_MS = 120;
const DEFAULT_PORT = 8080;
const TOKEN_PATH = '/sdk-token?uniqueId=phone-of-alice';
const POLL_MS = 100;
const ACCOUNT = { account: 'alice', region: 'DE' };

/** The answer of the broker to the app. */
type Credentials = Readonly<Record<(typeof TOKEN_FIELDS)[number], string>>;

interface DemoServices {
  readonly vendor: VendorSimulator;
  readonly cloud: CustomerCloud;
  readonly broker: Service;
  readonly events: DemoEvents;
  readonly consoleUrl: string;
}

/**
 * The `demo` command. It starts a vendor, a customer cloud and a broker on loopback, plays the whole flow with real
 * requests, and runs until Ctrl-C.
 * @throws UsageError, HelpRequested
 */
export async function demo(args: readonly string[], context: CommandContext): Promise<void> {
  parseFlags(args, {}, HELP);
  const events = new DemoEvents();
  const vendor = await startVendorSimulator({
    tokenLifetimeSeconds: TOKEN_LIFETIME_SECONDS,
    latencyMs: VENDOR_LATENCY_MS,
    watchLogin: () => events.loginReceived(),
  });
  const cloud = await startCustomerCloud();
  const adminToken = randomBytes(24).toString('base64url');
  const broker = await startBroker(vendor, cloud, adminToken, context.version);
  const screen = new DemoScreen(context.out);
  const demoConsole = await startDemoConsole(
    {
      vendor,
      broker,
      adminToken,
      unionId: cloud.unionIdOf(ACCOUNT.account),
      tokenPath: TOKEN_PATH,
      session: () => cloud.issueSession({ unionId: cloud.unionIdOf(ACCOUNT.account), region: ACCOUNT.region }),
    },
    events,
  );
  const stopped = new AbortController();
  closeOnSignal(async () => {
    stopped.abort();
    screen.line('\n   Stopped.');
    await demoConsole.close();
    await broker.close();
    await Promise.all([vendor.close(), cloud.close()]);
  });
  await playFlow({ vendor, cloud, broker, events, consoleUrl: `${demoConsole.url}/console` }, screen, stopped.signal);
}

/** Uses the default port if it is free, so that the printed addresses match the documentation. */
async function startBroker(
  vendor: VendorSimulator,
  cloud: CustomerCloud,
  adminToken: string,
  version: string,
): Promise<Service> {
  const start = (port: number): Promise<Service> => {
    const config = loadConfig({
      HOST: '127.0.0.1',
      PORT: String(port),
      ADMIN_PORT: '0',
      ADMIN_TOKEN: adminToken,
      ...vendor.brokerEnvironment,
      ...cloud.brokerEnvironment,
    });
    // The internal API logs an audit line for each call at any other level, in the middle of the demo's output.
    return startService(config, createLogger('silent'), version);
  };
  try {
    return await start(DEFAULT_PORT);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return start(0);
    throw error;
  }
}

/** Ends early if the demo is stopped. */
async function playFlow(
  { vendor, cloud, broker, events, consoleUrl }: DemoServices,
  screen: DemoScreen,
  stopped: AbortSignal,
) {
  const countLogins = () => screen.note(`vendor logins so far: ${vendor.state().succeeded}`);

  screen.title('sdk-token-broker demo: three real services on this machine');
  screen.row('customer cloud', `${cloud.url}   plays your cloud: accounts and sessions`);
  screen.row('vendor simulator', `${vendor.url}   its tokens live ${TOKEN_LIFETIME_SECONDS} s instead of 30 days`);
  screen.row('broker', broker.url);
  screen.row('console', `${consoleUrl}   shows the same flow live; open it in a browser`);

  screen.step('App → customer cloud', 'Alice logs in to your cloud, as before');
  const login = await screen.request('POST /login', `${cloud.url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ACCOUNT),
  });
  const session = String(login.body['session']);
  const getToken = (headers: Record<string, string> = {}, label = `GET ${TOKEN_PATH}`) =>
    screen.request(label, broker.url + TOKEN_PATH, { headers: { authorization: `Bearer ${session}`, ...headers } });
  screen.row('session', `${session.slice(0, 24)}…   a JWT, signed with a key that the broker knows`);
  screen.row('unionId', `${login.body['unionId']}   under this id the broker knows Alice`);

  screen.step('SDK → app', 'onRequestUserC2CInfo: the camera SDK asks the app for credentials');
  screen.step('App → broker', 'the only call that your app adds; the broker logs in to the vendor');
  let etag = '';
  const getCredentials = async (): Promise<Credentials> => {
    const answer = await events.appRequest(async () => {
      const { body, etag: tag } = await getToken();
      etag = tag;
      return body;
    });
    if (typeof answer['accessToken'] !== 'string') throw new Error('the broker has given the app no token');
    return answer as Credentials;
  };
  const verdictOn = ({ accessToken }: Credentials) => (vendor.checkToken(accessToken).live ? 'online ✓' : 'refused');
  const first = await getCredentials();
  countLogins();

  screen.step('App → SDK', 'the SDK takes five of the six strings, unchanged');
  screen.row('accessId', first.accessId);
  screen.row('accessToken', `${shorten(first.accessToken)}   ${first.accessToken.length} hex digits`);
  screen.row('expireTime', `${first.expireTime}   in ${secondsLeft(first).toFixed(1)} s`);
  screen.row('terminalId', first.terminalId);
  screen.row('expend', first.expend);
  screen.row('vendor says', verdictOn(first));

  screen.step('App → broker', 'the app asks again; the broker answers from memory');
  await getToken();
  await getToken({ 'if-none-match': etag }, '  with If-None-Match');
  countLogins();

  screen.step('Broker → vendor', 'the broker renews the token in the background, before it expires');
  screen.note(`the first token expires in ${secondsLeft(first).toFixed(1)} s: wait for its renewal`);
  while (vendor.state().succeeded < 2) {
    await sleep(POLL_MS, undefined, { signal: stopped }).catch(() => undefined);
    if (stopped.aborted) return;
  }
  screen.note(`renewed ${secondsLeft(first).toFixed(1)} s before the first token expires; no app had to ask`);
  const renewed = await getCredentials();
  screen.row('accessToken', `${shorten(renewed.accessToken)}   was ${shorten(first.accessToken)}`);
  screen.row('vendor says', verdictOn(renewed));

  screen.title('Your turn');
  screen.row('console', `${consoleUrl}   break the vendor there, and watch`);
  screen.row('API docs', `${broker.url}/docs`);
  screen.row('stop', 'Ctrl-C');
  screen.line('\n   If no app reads a token, the broker renews it once. Then it waits until an app asks again.');
  screen.note('The console shows each vendor login. This request works for one hour:\n');
  screen.line(`curl -i '${broker.url}${TOKEN_PATH}' -H 'Authorization: Bearer ${session}'`);
}

function secondsLeft({ expireTime }: Credentials): number {
  return Number(expireTime) - systemClock.now() / 1000;
}

const LABEL_WIDTH = 18;

/** The layout of the demo's output. Colours appear only where the output shows them. */
class DemoScreen {
  readonly line: CommandContext['out'];
  #steps = 0;

  constructor(out: CommandContext['out']) {
    this.line = out;
  }

  title(text: string): void {
    this.line(`\n\n${styleText('bold', text)}\n`);
  }

  note(text: string): void {
    this.line(`   ${text}`);
  }

  row(label: string, value: string): void {
    this.note(styleText('dim', label.padEnd(LABEL_WIDTH)) + value);
  }

  step(participants: string, description: string): void {
    this.#steps += 1;
    this.line(`\n${styleText('cyan', String(this.#steps))}  ${styleText('bold', participants)}  ${description}`);
  }

  /** Sends a request and prints its status and duration. */
  async request(label: string, url: string, init: RequestInit) {
    const startedAt = performance.now();
    const response = await fetch(url, init);
    const text = await response.text();
    const tookMs = (performance.now() - startedAt).toFixed(1).padStart(6);
    this.note(
      `${label.padEnd(44)} ${styleText(response.status < 400 ? 'green' : 'yellow', String(response.status))}  ${tookMs} ms`,
    );
    const body: Record<string, unknown> = text ? JSON.parse(text) : {};
    return { body, etag: response.headers.get('etag') ?? '' };
  }
}
