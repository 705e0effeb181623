import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '../service.ts';
import { CameraSdk, type UserC2CInfo } from '../simulator/camera-sdk.ts';
import type { CustomerCloud } from '../simulator/customer-cloud.ts';
import type { VendorSimulator } from '../simulator/vendor-simulator.ts';
import { systemClock } from '../token/clock.ts';
import type { DemoScreen } from './demo-screen.ts';

const PHONE = 'phone-of-alice';
const PATH = `/sdk-token?uniqueId=${PHONE}`;
const LOOK_MS = 100;

/** The services the story plays between. */
export interface DemoParts {
  readonly vendor: VendorSimulator;
  readonly cloud: CustomerCloud;
  readonly broker: Service;
}

interface Answer {
  readonly status: number;
  readonly etag: string;
  readonly body: Record<string, unknown>;
}

/** Plays the flow with real requests, then reports every vendor login until `ended`. */
export async function tellStory(
  { vendor, cloud, broker }: DemoParts,
  screen: DemoScreen,
  lifetimeSeconds: number,
  ended: AbortSignal,
): Promise<void> {
  const ask = async (line: string, url: string, init: RequestInit): Promise<Answer> => {
    const startedAt = performance.now();
    const response = await fetch(url, init);
    const text = await response.text();
    screen.request(line, response.status, performance.now() - startedAt);
    return { status: response.status, etag: response.headers.get('etag') ?? '', body: text ? JSON.parse(text) : {} };
  };
  const logins = () => vendor.state().succeeded;

  screen.title('sdk-token-broker demo: three real services on this machine');
  screen.row('customer cloud', `${cloud.url}   accounts and sessions, as you have them`);
  screen.row('vendor simulator', `${vendor.url}   its tokens live ${lifetimeSeconds} s here, 30 days in real life`);
  screen.row('broker', broker.url);

  screen.step('App → customer cloud', 'Alice logs in, as she always did');
  const { body: login } = await ask('POST /login', `${cloud.url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ account: 'alice', region: 'DE' }),
  });
  const session = String(login['session']);
  const headers = { authorization: `Bearer ${session}` };
  screen.row('session', `${session.slice(0, 24)}…   a JWT, signed with a key the broker can check`);

  screen.step('SDK → app', 'onRequestUserC2CInfo: the camera SDK has no login yet and asks for one');
  screen.step('App → broker', 'the one call your app has to make; the broker logs in to the vendor, signed');
  let first: Answer | undefined;
  const sdk = new CameraSdk(vendor.url, async () => {
    first = await ask(`GET ${PATH}`, `${broker.url}${PATH}`, { headers });
    return first.body;
  });
  const credentials = await sdk.logIn();
  screen.note(`vendor logins so far: ${logins()}`);

  screen.step('App → SDK', 'the five strings, unchanged');
  showCredentials(screen, credentials);
  screen.row('vendor says', (await sdk.isOnline(credentials)) ? 'online ✓' : 'refused');

  screen.step('App → broker', 'again, a moment later: from memory');
  await ask(`GET ${PATH}`, `${broker.url}${PATH}`, { headers });
  // fetch adds `no-cache` to an If-None-Match unless it is told otherwise.
  const conditional = { ...headers, 'if-none-match': first?.etag ?? '', 'cache-control': 'max-age=0' };
  await ask('  with If-None-Match', `${broker.url}${PATH}`, { headers: conditional });
  screen.note(`vendor logins so far: ${logins()}`);

  screen.step('Broker → vendor', 'the token is renewed in the background, before it expires');
  const expiresAt = Number(credentials.expireTime) * 1000;
  const startedAt = systemClock.now();
  while (logins() < 2 && !ended.aborted) {
    const left = expiresAt - systemClock.now();
    screen.progress('first token', 1 - left / (expiresAt - startedAt), `expires in ${(left / 1000).toFixed(1)} s`);
    await sleep(LOOK_MS, undefined, { signal: ended }).catch(() => undefined);
  }
  if (ended.aborted) return;
  screen.progressDone();
  const left = (expiresAt - systemClock.now()) / 1000;
  screen.note(`renewed ${left.toFixed(1)} s before the first one expires; nobody had to ask`);
  const renewed = await sdk.logIn();
  screen.row('accessToken', `${shortened(renewed.accessToken)}   was ${shortened(credentials.accessToken)}`);
  screen.row('vendor says', (await sdk.isOnline(renewed)) ? 'online ✓' : 'refused');

  screen.title('Your turn. This session is good for an hour:');
  screen.copyable(`curl -i '${broker.url}${PATH}' -H 'Authorization: Bearer ${session}'`);
  screen.row('API docs', `${broker.url}/docs`);
  screen.row('stop', 'Ctrl-C');
  screen.title(
    'The vendor’s side from here on. A token nobody reads is renewed once, then let go until it is asked for:',
  );
  await reportLogins(logins, screen, ended);
}

/** Says when a login reaches the vendor, and when a token nobody reads is let go. */
async function reportLogins(logins: () => number, screen: DemoScreen, ended: AbortSignal): Promise<void> {
  for (let seen = logins(); !ended.aborted; seen = logins()) {
    while (logins() === seen && !ended.aborted)
      await sleep(LOOK_MS, undefined, { signal: ended }).catch(() => undefined);
    if (!ended.aborted) screen.event(`vendor login ${logins()}`);
  }
}

function showCredentials(screen: DemoScreen, credentials: UserC2CInfo): void {
  const seconds = Number(credentials.expireTime) - systemClock.now() / 1000;
  screen.row('accessId', credentials.accessId);
  screen.row('accessToken', `${shortened(credentials.accessToken)}   ${credentials.accessToken.length} hex digits`);
  screen.row('expireTime', `${credentials.expireTime}   in ${seconds.toFixed(1)} s`);
  screen.row('terminalId', credentials.terminalId);
  screen.row('expend', credentials.expend);
}

function shortened(token: string): string {
  return `${token.slice(0, 8)}…${token.slice(-4)}`;
}
