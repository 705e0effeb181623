import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { ConfigParts } from '../../config/config.ts';
import { boundedFetch } from '../../session/session-server.ts';
import { type Finding, fail, ok, type Trouble } from './finding.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

const MAX_BYTES = 1_024;

/** Whether both addresses can be listened on, at the same time. */
export async function checkPorts({ publicAddress, admin }: ConfigParts): Promise<Finding[]> {
  const held: Server[] = [];
  const check = async (what: string, names: string, address: Address): Promise<Finding> => {
    const server = createServer((socket) => socket.destroy());
    const code = await troubleListening(server, address);
    if (!code) held.push(server);
    const shown = `${address.host}:${address.port}`;
    if (!code) return ok(what, `${shown} can be listened on`);
    if (code === 'EADDRINUSE' && (await isBroker(address))) return ok(what, `a broker runs at ${shown} already`);
    return fail(what, portTrouble(code, shown, names));
  };
  try {
    const findings = publicAddress ? [await check('public API', 'HOST and PORT', publicAddress)] : [];
    return admin ? [...findings, await check('internal API', 'ADMIN_HOST and ADMIN_PORT', admin)] : findings;
  } finally {
    for (const server of held) server.close();
  }
}

async function troubleListening(server: Server, { host, port }: Address): Promise<string | undefined> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  }
}

async function isBroker({ host, port }: Address): Promise<boolean> {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  try {
    const url = `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}/livez`;
    const answer = await boundedFetch(url, {}, MAX_BYTES);
    return answer.status === 200 && (await answer.text()).includes('"status":"ok"');
  } catch {
    return false;
  }
}

function portTrouble(code: string, shown: string, names: string): Trouble {
  switch (code) {
    case 'EADDRINUSE':
      return {
        detail: `${shown} is taken by something else (${code})`,
        mend: `end that, or choose another in ${names}; both APIs need one of their own`,
      };
    case 'EACCES':
      return { detail: `${shown} is not permitted (${code})`, mend: `choose a port from 1024 on in ${names}` };
    default:
      return {
        detail: `${shown} cannot be listened on (${code})`,
        mend: `name an address of this machine in ${names}, or 0.0.0.0 for all`,
      };
  }
}
