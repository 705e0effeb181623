import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { end, exitOf, linesOf, type ProcessExit } from './child-process.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { type PlainAnswer, plainRequest } from './plain-request.ts';

const ENTRY = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

interface StartOptions {
  /** What must answer 200 before the broker counts as started. Default `/readyz`; `/livez` where its store is down. */
  readonly until?: '/readyz' | '/livez';
  /** Default 15000. */
  readonly timeoutMs?: number;
  /** Default: `dist/main.js`. */
  readonly entry?: string;
}

interface GetTokenOptions {
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface BrokerProcess {
  /** Of the public API. */
  readonly url: string;
  /** Of the internal API. */
  readonly adminUrl: string;
  readonly pid: number;
  readonly exit: Promise<ProcessExit>;
  /** The last 5000 lines it wrote, on either stream. */
  log(): string[];
  /** `GET /sdk-token` as an app would send it. */
  getToken(session: string, uniqueId: string, options?: GetTokenOptions): Promise<PlainAnswer>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it in good order (by force after 15 s), also when it is stopped. Idempotent. */
  stop(): Promise<ProcessExit>;
}

/**
 * A real `dist/main.js serve` on free loopback ports. Its environment is `env` and PATH alone.
 * @throws Error with what it wrote, if it does not get ready
 */
export async function startBroker(
  env: Readonly<Record<string, string>>,
  { until = '/readyz', timeoutMs = 15_000, entry = ENTRY }: StartOptions = {},
): Promise<BrokerProcess> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, ['--enable-source-maps', entry, 'serve'], {
    env: {
      PATH: process.env['PATH'],
      HOST: '127.0.0.1',
      ...env,
      PORT: `${port}`,
      ADMIN_PORT: `${adminPort}`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = exitOf(child);
  const log = linesOf(child, 5_000);

  const isUp = async () => (await plainRequest(url + until, { timeoutMs: 2_000 })).status === 200;
  const died = exit.then(({ code, signal }) => Promise.reject(new Error(`it ended (${signal ?? code})`)));
  died.catch(() => {});
  try {
    await Promise.race([died, eventually(isUp, { timeoutMs, everyMs: 50 })]);
  } catch (error) {
    child.kill('SIGKILL');
    const output = log().join('\n');
    throw new Error(`the broker did not get to answer ${until} with 200: ${error}\n${output}`, { cause: error });
  }
  if (child.pid === undefined) throw new Error('the broker was never started');

  return {
    url,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    pid: child.pid,
    exit,
    log,
    getToken(session, uniqueId, { query = {}, headers = {} } = {}) {
      const parameters = new URLSearchParams({ uniqueId, ...query });
      return plainRequest(`${url}/sdk-token?${parameters}`, {
        headers: { authorization: `Bearer ${session}`, ...headers },
      });
    },
    signal: (signal) => void child.kill(signal),
    stop: () => end(child, exit, 15_000),
  };
}
