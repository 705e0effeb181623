import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Follows the Dockerfile without Docker: it copies and runs what the Dockerfile names, from the files that
 * .dockerignore lets through, and starts the program of the image. The packages are those of `nodeModules`, and nothing
 * of the base image takes part.
 * @param into a folder that does not exist yet
 * @returns what the program of the image prints for `--version`, and the folder of the image that has it
 * @throws Error if the Dockerfile copies a file that is not there, or if a command fails
 */
export function followDockerfile(source: string, nodeModules: string, into: string): { version: string; app: string } {
  const context = join(into, 'context');
  for (const path of allowedPaths(readFileSync(join(source, '.dockerignore'), 'utf8')))
    copy(source, path, context, path);
  const stages: Record<string, string> = {};
  let app = '';
  let entrypoint: string[] = [];
  for (const line of readFileSync(join(source, 'Dockerfile'), 'utf8').replaceAll('\\\n', '').split('\n')) {
    const [, instruction, rest = ''] = /^([A-Z]+) +(.*)$/.exec(line) ?? [];
    if (instruction === 'FROM') {
      const [, name = 'image'] = / AS (\S+)$/.exec(rest) ?? [];
      app = join(into, name);
      stages[name] = app;
      mkdirSync(app);
    } else if (instruction === 'COPY') {
      const [, from, paths = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(rest) ?? [];
      const [to = '', ...sources] = paths.split(' ').reverse();
      for (const path of sources.map((source) => source.replace(/^\/app\//, '')))
        copy(from ? (stages[from] ?? '') : context, path, app, to === './' ? path : to);
    } else if (instruction === 'RUN' && rest.startsWith('npm ci ')) {
      symlinkSync(nodeModules, join(app, 'node_modules'));
    } else if (instruction === 'RUN') {
      output(app, 'sh', '-c', rest);
    } else if (instruction === 'ENTRYPOINT') {
      entrypoint = JSON.parse(rest);
    }
  }
  const [program = '', ...args] = entrypoint.map((part) => part.replace(/^\/app\//, `${app}/`));
  return { version: output(app, program, ...args, '--version').trim(), app };
}

/** What a .dockerignore lets through that excludes everything and then names exceptions. */
function allowedPaths(ignore: string): string[] {
  const lines = ignore.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  if (lines[0] !== '*') throw new Error('.dockerignore does not begin with *');
  return lines.slice(1).map((line) => line.replace(/^!/, ''));
}

function copy(from: string, path: string, into: string, to: string): void {
  const [source, target] = [join(from, path), join(into, to)];
  if (!existsSync(source)) throw new Error(`The Dockerfile copies ${path}, which is not in its context`);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(source, target, { recursive: true });
}

function output(cwd: string, program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (status !== 0)
    throw new Error(`This command of the Dockerfile failed: ${[program, ...args].join(' ')}\n${stderr}`);
  return stdout;
}
