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
import type { Language, Text } from '../token/text.ts';
import { type CommandContext, closeOnSignal, columnsOf, LANG_OPTION, languageOf, parseFlags } from './command-line.ts';
import { DemoEvents, shorten, startDemoConsole } from './demo-console.ts';

const HELP: Text = {
  en: `sdk-token-broker demo [--lang en|zh]

Runs the broker with a simulated vendor and customer cloud, plays the whole flow, prints a curl line to try, and runs
until Ctrl-C. It needs no configuration.

  --lang en|zh   the language of the output (default: that of the terminal, by LC_ALL, LC_MESSAGES or LANG)`,
  zh: `sdk-token-broker demo [--lang en|zh]

运行 Broker、模拟的厂商和客户云，演示完整流程，打印一条可以直接试用的 curl 命令，直到按下 Ctrl-C。不需要任何配置。

  --lang en|zh   输出的语言（默认取终端的语言：LC_ALL、LC_MESSAGES 或 LANG）`,
};

const TOKEN_LIFETIME_SECONDS = 14;
const VENDOR_LATENCY_MS = 120;
const DEFAULT_PORT = 8080;
const TOKEN_PATH = '/sdk-token?uniqueId=phone-of-alice';
const POLL_MS = 100;
const CONSOLE: Text = { en: 'console', zh: '控制台' };
const APP_CALL: Text = { en: 'App → broker', zh: 'App → Broker' };
const VENDOR_CALL: Text = { en: 'Broker → vendor', zh: 'Broker → 厂商' };
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

/** The `demo` command: all services on loopback, with real requests, until Ctrl-C. @throws UsageError, HelpRequested */
export async function demo(args: readonly string[], context: CommandContext): Promise<void> {
  const language = languageOf(args, context.env);
  parseFlags(args, LANG_OPTION, HELP[language]);
  const events = new DemoEvents();
  const vendor = await startVendorSimulator({
    tokenLifetimeSeconds: TOKEN_LIFETIME_SECONDS,
    latencyMs: VENDOR_LATENCY_MS,
    watchLogin: () => events.loginReceived(),
  });
  const cloud = await startCustomerCloud();
  const adminToken = randomBytes(24).toString('base64url');
  const broker = await startBroker(vendor, cloud, adminToken, context.version);
  const screen = new DemoScreen(context.out, language);
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
    screen.line('');
    screen.note({ en: 'Stopped.', zh: '已停止。' });
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
  const countLogins = () => {
    const { succeeded } = vendor.state();
    screen.note({ en: `vendor logins so far: ${succeeded}`, zh: `厂商登录次数：${succeeded}` });
  };

  screen.title({
    en: 'sdk-token-broker demo: three real services on this machine',
    zh: 'sdk-token-broker 演示：本机上的三个真实服务',
  });
  screen.row(
    { en: 'customer cloud', zh: '客户云' },
    { en: `${cloud.url}   plays your cloud: accounts and sessions`, zh: `${cloud.url}   扮演你的云：账号和会话` },
  );
  screen.row(
    { en: 'vendor simulator', zh: '厂商模拟器' },
    {
      en: `${vendor.url}   its tokens live ${TOKEN_LIFETIME_SECONDS} s instead of 30 days`,
      zh: `${vendor.url}   令牌有效期为 ${TOKEN_LIFETIME_SECONDS} 秒，而不是 30 天`,
    },
  );
  screen.row('broker', broker.url);
  screen.row(CONSOLE, {
    en: `${consoleUrl}   shows the same flow live; open it in a browser`,
    zh: `${consoleUrl}   实时显示同一流程，请用浏览器打开`,
  });

  screen.step(
    { en: 'App → customer cloud', zh: 'App → 客户云' },
    { en: 'Alice logs in to your cloud, as before', zh: 'Alice 登录你的云，与原来一样' },
  );
  const login = await screen.request('POST /login', `${cloud.url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ACCOUNT),
  });
  const session = String(login.body['session']);
  const getToken = (headers: Record<string, string> = {}, label = `GET ${TOKEN_PATH}`) =>
    screen.request(label, broker.url + TOKEN_PATH, { headers: { authorization: `Bearer ${session}`, ...headers } });
  const start = `${session.slice(0, 24)}…`;
  screen.row(
    { en: 'session', zh: '会话' },
    {
      en: `${start}   a JWT, signed with a key that the broker knows`,
      zh: `${start}   JWT，Broker 知道其签名密钥的公钥`,
    },
  );
  screen.row('unionId', {
    en: `${login.body['unionId']}   under this id the broker knows Alice`,
    zh: `${login.body['unionId']}   Broker 以此 ID 识别 Alice`,
  });

  screen.step('SDK → App', {
    en: 'onRequestUserC2CInfo: the camera SDK asks the app for credentials',
    zh: 'onRequestUserC2CInfo：摄像机 SDK 向 App 请求凭据',
  });
  screen.step(APP_CALL, {
    en: 'the only call that your app adds; the broker logs in to the vendor',
    zh: '你的 App 唯一要新增的调用；Broker 登录厂商',
  });
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
  const showVerdict = ({ accessToken }: Credentials) => {
    const verdict = vendor.checkToken(accessToken).live
      ? { en: 'online ✓', zh: '在线 ✓' }
      : { en: 'refused', zh: '拒绝' };
    screen.row({ en: 'vendor says', zh: '厂商的判断' }, verdict);
  };
  const first = await getCredentials();
  countLogins();

  screen.step('App → SDK', {
    en: 'the app passes these strings on, unchanged',
    zh: 'App 把这些字符串原样传给 SDK',
  });
  const left = () => secondsLeft(first).toFixed(1);
  const digits = first.accessToken.length;
  screen.row('accessId', first.accessId);
  screen.row('accessToken', {
    en: `${shorten(first.accessToken)}   ${digits} hex digits`,
    zh: `${shorten(first.accessToken)}   ${digits} 位十六进制数`,
  });
  screen.row('expireTime', { en: `${first.expireTime}   in ${left()} s`, zh: `${first.expireTime}   ${left()} 秒后` });
  screen.row('terminalId', first.terminalId);
  screen.row('expend', first.expend);
  showVerdict(first);

  screen.step(APP_CALL, {
    en: 'the app asks again; the broker answers from memory',
    zh: 'App 再次请求；Broker 从内存返回',
  });
  await getToken();
  await getToken({ 'if-none-match': etag }, '  If-None-Match');
  countLogins();

  screen.step(VENDOR_CALL, {
    en: 'the broker renews the token in the background, before it expires',
    zh: 'Broker 在令牌过期之前，在后台刷新令牌',
  });
  screen.note({
    en: `the first token expires in ${left()} s: wait for its renewal`,
    zh: `第一个令牌 ${left()} 秒后过期：等待刷新`,
  });
  while (vendor.state().succeeded < 2) {
    await sleep(POLL_MS, undefined, { signal: stopped }).catch(() => undefined);
    if (stopped.aborted) return;
  }
  screen.note({
    en: `renewed ${left()} s before the first token expires; no app had to ask`,
    zh: `在第一个令牌过期前 ${left()} 秒完成刷新，不需要 App 请求`,
  });
  const renewed = await getCredentials();
  screen.row('accessToken', {
    en: `${shorten(renewed.accessToken)}   was ${shorten(first.accessToken)}`,
    zh: `${shorten(renewed.accessToken)}   原为 ${shorten(first.accessToken)}`,
  });
  showVerdict(renewed);

  screen.title({ en: 'Your turn', zh: '轮到你了' });
  screen.row(CONSOLE, {
    en: `${consoleUrl}   break the vendor there, and watch`,
    zh: `${consoleUrl}   在这里让厂商出故障，并观察`,
  });
  screen.row({ en: 'API docs', zh: 'API 文档' }, `${broker.url}/docs`);
  screen.row({ en: 'stop', zh: '停止' }, 'Ctrl-C');
  screen.line('');
  screen.note({
    en: 'If no app reads a token, the broker renews it once. Then it waits until an app asks again.',
    zh: '如果没有 App 读取令牌，Broker 只刷新一次，然后等到 App 再次请求。',
  });
  screen.note({
    en: 'The console shows each vendor login. This request works for one hour:\n',
    zh: '控制台显示每次厂商登录。以下请求在一小时内有效：\n',
  });
  screen.line(`curl -i '${broker.url}${TOKEN_PATH}' -H 'Authorization: Bearer ${session}'`);
}

function secondsLeft({ expireTime }: Credentials): number {
  return Number(expireTime) - systemClock.now() / 1000;
}

const LABEL_WIDTH = 18;

/** The layout of the demo's output. Colours appear only where the output shows them. */
class DemoScreen {
  readonly line: CommandContext['out'];
  readonly #language: Language;
  #steps = 0;

  constructor(out: CommandContext['out'], language: Language) {
    this.line = out;
    this.#language = language;
  }

  #in(text: Text | string): string {
    return typeof text === 'string' ? text : text[this.#language];
  }

  title(text: Text): void {
    this.line(`\n\n${styleText('bold', this.#in(text))}\n`);
  }

  note(text: Text | string): void {
    this.line(`   ${this.#in(text)}`);
  }

  row(label: Text | string, value: Text | string): void {
    const name = this.#in(label);
    const padding = ' '.repeat(LABEL_WIDTH - columnsOf(name));
    this.note(styleText('dim', name + padding) + this.#in(value));
  }

  step(participants: Text | string, description: Text): void {
    this.#steps += 1;
    const title = styleText('bold', this.#in(participants));
    this.line(`\n${styleText('cyan', String(this.#steps))}  ${title}  ${this.#in(description)}`);
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
