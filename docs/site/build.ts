// Builds the site, and serves it on this machine.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import send from '@fastify/send';
import { REPOSITORY } from './documents.ts';

/** The folder of the built site. */
export const DIST = join(REPOSITORY, 'docs/site/dist/html');

/** Installs the packages of the site if they are missing or outdated. Only this step needs the network. */
export function installPackages(): void {
  if (changedAt('docs/site/node_modules/.package-lock.json') < changedAt('docs/site/package-lock.json')) {
    const quietly = ['--silent', '--no-audit', '--no-fund', '--prefer-offline', '--prefix', 'docs/site'];
    run('npm', 'ci', '--ignore-scripts', ...quietly);
  }
}

/** @throws Error if the build fails, for example because of a dead link. The output has the reason. */
export function buildSite(): void {
  run(process.execPath, 'docs/site/node_modules/vitepress/bin/vitepress.js', 'build', 'docs/site');
}

/** Serves the built site on the loopback address. If the port is taken, it takes a free one. */
export async function serveSite(port: number): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer(async (request, response) => {
    const found = await send(request, (request.url ?? '/').replace(/\?.*/, ''), { root: DIST });
    const answer = found.type === 'error' ? await send(request, '/404.html', { root: DIST }) : found;
    response.writeHead(found.type === 'error' ? 404 : answer.statusCode, answer.headers);
    answer.stream.pipe(response);
  });
  const listening = server.listen(port, '127.0.0.1');
  try {
    await once(listening, 'listening');
  } catch (error) {
    if (port === 0 || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return serveSite(0);
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

/** Epoch ms. 0 if the file does not exist. */
function changedAt(file: string): number {
  return statSync(join(REPOSITORY, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function run(command: string, ...args: string[]): void {
  const { error, status } = spawnSync(command, args, { cwd: REPOSITORY, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error) throw error;
  if (status !== 0) throw new Error(`This command failed: ${[command, ...args].join(' ')}`);
}
