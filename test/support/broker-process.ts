import { fileURLToPath } from 'node:url';
import { type ChildProgram, startProgram } from './child-process.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { type PlainAnswer, plainRequest } from './plain-request.ts';

/** Flags of Node.js, as in the image. `test/architecture.test.ts` holds them equal. */
export const NODE_FLAGS = ['--v8-pool-size=1', '--min-semi-space-size=16', '--max-semi-space-size=16'];
const ENTRY = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface StartOptions {
  /** Path that must answer 200 before the start is complete. Default `/readyz`. Use `/livez` if the store is down. */
  readonly until?: '/readyz' | '/livez';
  /** Default: 60,000 ms. */
  readonly timeoutMs?: number;
  /** The script to start. Default: `dist/main.js`. */
  readonly entry?: string;
  /** Most file descriptors of the process. Default: those of this process. */
  readonly descriptors?: number;
}

interface GetTokenOptions {
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** The header `ETag` of a token that the vendor has refused. */
  readonly refused?: string | undefined;
}

export interface BrokerProcess extends ChildProgram {
  /** Base URL of the public API. */
  readonly url: string;
  /** Base URL of the internal API. */
  readonly adminUrl: string;
  /** Sends `GET /sdk-token` like an app. */
  getToken(session: string, uniqueId: string, options?: GetTokenOptions): Promise<PlainAnswer>;
}

/** The function `getToken` of a replica with this public API. */
export function getTokenAt(url: string): BrokerProcess['getToken'] {
  return (session, uniqueId, { query = {}, headers = {}, refused } = {}) => {
    const report = refused !== undefined && { refused: refused.slice(1, -1) };
    const parameters = new URLSearchParams({ uniqueId, ...query, ...report });
    return plainRequest(`${url}/sdk-token?${parameters}`, {
      headers: { authorization: `Bearer ${session}`, ...headers },
    });
  };
}

/**
 * Starts `dist/main.js serve` on free loopback ports. The process gets only `env` and PATH as its environment. It ends
 * with the test.
 * @throws Error with the process's output, if the process does not become ready
 */
export async function startBroker(
  env: Readonly<Record<string, string>>,
  options: StartOptions = {},
): Promise<BrokerProcess> {
  const { until = '/readyz', timeoutMs = 60_000, entry = ENTRY, descriptors } = options;
  const [port, adminPort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const command = [process.execPath, ...NODE_FLAGS, entry, 'serve'] as const;
  const limited = ['/bin/sh', '-c', `ulimit -n ${descriptors} && exec "$0" "$@"`, ...command] as const;
  const program = startProgram(descriptors === undefined ? command : limited, {
    HOST: '127.0.0.1',
    ...env,
    PORT: `${port}`,
    ADMIN_PORT: `${adminPort}`,
  });
  const { exit, log, signal, stop } = program;
  const isUp = async () => (await plainRequest(url + until, { timeoutMs: 2_000 })).status === 200;
  const died = exit.then(({ code, signal }) => Promise.reject(new Error(`the process ended (${signal ?? code})`)));
  died.catch(() => {});
  try {
    await Promise.race([died, eventually(isUp, { timeoutMs, everyMs: 50 })]);
  } catch (error) {
    signal('SIGKILL');
    const output = log().join('\n');
    // Another program has taken the port meanwhile.
    if (output.includes('EADDRINUSE')) return startBroker(env, options);
    throw new Error(`the broker never answered ${until} with 200: ${error}\n${output}`, { cause: error });
  }
  return {
    ...program,
    url,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    getToken: getTokenAt(url),
    stop: endWithTest(stop),
  };
}
