import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { ConfigParts } from '../../config/config.ts';
import { boundedFetch } from '../../session/session-server.ts';
import type { Clock } from '../../token/clock.ts';
import { type CheckResult, fail, ok, type Problem } from './check-result.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

const MAX_BYTES = 1_024;

/** Checks that the broker can listen on both addresses at the same time. */
export async function checkPorts({ publicAddress, admin }: ConfigParts, clock: Clock): Promise<CheckResult[]> {
  const listening: Server[] = [];
  const check = async (name: string, settings: string, address: Address): Promise<CheckResult> => {
    const server = createServer((socket) => socket.destroy());
    const code = await listenErrorOf(server, address);
    const shown = `${address.host}:${address.port}`;
    if (!code) {
      listening.push(server);
      return ok(name, `${shown} is free`);
    }
    if (code === 'EADDRINUSE' && (await isBroker(address, clock))) return ok(name, `a broker already runs at ${shown}`);
    return fail(name, portProblem(code, shown, settings));
  };
  try {
    const results = publicAddress ? [await check('public API', 'HOST and PORT', publicAddress)] : [];
    return admin ? [...results, await check('internal API', 'ADMIN_HOST and ADMIN_PORT', admin)] : results;
  } finally {
    for (const server of listening) server.close();
  }
}

async function listenErrorOf(server: Server, { host, port }: Address): Promise<string | undefined> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  }
}

async function isBroker({ host, port }: Address, clock: Clock): Promise<boolean> {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  try {
    const url = `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}/livez`;
    const answer = await boundedFetch(url, {}, clock, MAX_BYTES);
    return answer.status === 200 && (await answer.text()).includes('"status":"ok"');
  } catch {
    return false;
  }
}

function portProblem(code: string, shown: string, settings: string): Problem {
  switch (code) {
    case 'EADDRINUSE':
      return {
        detail: `another process uses ${shown} (${code})`,
        fix: `Stop that process, or choose another port in ${settings}. Each of the two APIs needs its own port.`,
      };
    case 'EACCES':
      return {
        detail: `this user may not listen on ${shown} (${code})`,
        fix: `Choose a port from 1024 on in ${settings}.`,
      };
    default:
      return {
        detail: `the broker cannot listen on ${shown} (${code})`,
        fix: `Set an address of this machine in ${settings}, or 0.0.0.0 for all addresses.`,
      };
  }
}
