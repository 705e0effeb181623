import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { exitOf } from './child-process.ts';

/** Path of nginx; `undefined` if this machine has none. */
export const NGINX = ['/usr/sbin/nginx', '/usr/local/bin/nginx', '/opt/homebrew/bin/nginx'].find(
  (path) => spawnSync(path, ['-v']).status === 0,
);

/**
 * Starts a real nginx, which ends with the test.
 * @param http the content of the block `http`
 * @returns the function that reloads nginx with another content
 */
export function startNginx(http: string): (http: string) => void {
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'));
  const file = join(folder, 'nginx.conf');
  const write = (content: string) =>
    writeFileSync(
      file,
      `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
      events { worker_connections 512; }
      http {
        access_log off;
        client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f;
        uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
        ${content}
      }`,
    );
  write(http);
  const child = spawn(NGINX ?? '', ['-c', file, '-e', join(folder, 'error.log')], { stdio: 'ignore' });
  const exit = exitOf(child);
  onTestFinished(async () => {
    child.kill('SIGTERM');
    await exit;
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return (changed) => {
    write(changed);
    child.kill('SIGHUP');
  };
}
