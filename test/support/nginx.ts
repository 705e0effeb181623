import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProgram } from './child-process.ts';
import { endWithTest } from './end-with-test.ts';
import { newFolder } from './new-folder.ts';

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
  const folder = newFolder();
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
  const { signal, stop } = startProgram([NGINX ?? '', '-c', file, '-e', join(folder, 'error.log')]);
  endWithTest(stop);
  return (changed) => {
    write(changed);
    signal('SIGHUP');
  };
}
