import { spawnSync } from 'node:child_process';
import { systemBinary } from './system-binary.ts';

/** A service, as `docker compose config` prints it. */
export interface ComposeService {
  readonly image: string;
  readonly build?: { readonly args?: Readonly<Record<string, string | null>> };
  readonly command?: readonly string[] | null;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly host_ip: string; readonly published: string; readonly target: number }[];
  readonly secrets?: readonly { readonly source: string }[];
  readonly volumes?: readonly { readonly source: string; readonly target: string }[];
  readonly healthcheck?: { readonly test: readonly string[] };
}

/** The services of the compose file in the folder, as Docker Compose understands them. */
export function composeServices(
  folder: string,
  options: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Readonly<Record<string, ComposeService>> {
  const hasPlugin = spawnSync('docker', ['compose', 'version']).status === 0;
  const compose = hasPlugin
    ? 'docker'
    : systemBinary({ program: 'docker-compose', need: 'This test needs Docker Compose' });
  const { status, stdout, stderr } = spawnSync(
    compose,
    [...(hasPlugin ? ['compose'] : []), ...options, 'config', '--format', 'json'],
    { cwd: folder, encoding: 'utf8', env: { ...process.env, ...env } },
  );
  if (status !== 0) throw new Error(`docker compose config: ${stderr}`);
  return JSON.parse(stdout).services;
}
