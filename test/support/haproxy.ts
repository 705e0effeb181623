import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProgram } from './child-process.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { newFolder } from './new-folder.ts';
import { askRedis, type RedisServer } from './redis-server.ts';

/** Path of HAProxy; `undefined` if this machine has none. */
export const HAPROXY = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy', '/opt/homebrew/bin/haproxy'].find(existsSync);

/**
 * Starts HAProxy in TCP mode in front of Redis servers, which get the connections in turn. Like the proxies of managed
 * services, it ends connections that stay idle. It ends with the test.
 * @returns the URL of the proxy
 */
export async function startHaproxy(...servers: readonly Pick<RedisServer, 'port'>[]): Promise<string> {
  const port = await freePort();
  const folder = newFolder();
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    [
      'defaults',
      '  mode tcp',
      '  timeout connect 1s',
      '  timeout client 5s',
      '  timeout server 5s',
      'listen redis',
      `  bind 127.0.0.1:${port}`,
      ...servers.map((server) => `  server on-${server.port} 127.0.0.1:${server.port}`),
      '',
    ].join('\n'),
  );
  endWithTest(startProgram([HAPROXY ?? '', '-db', '-f', file]).stop);
  await eventually(() => askRedis({ port }, (redis) => redis.ping()));
  return `redis://127.0.0.1:${port}`;
}
