import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface SystemBinary {
  readonly program: string;
  /** Names of the packages, by package manager. Only needed where they differ from the program's name. */
  readonly packages?: Readonly<Partial<Record<'apt-get' | 'apk' | 'dnf' | 'brew', string>>>;
  /** First part of the error message, for example "The tests need a real Redis". */
  readonly need: string;
  /** An alternative for the user, as a sentence of the error message. */
  readonly instead?: string;
}

interface Installer {
  readonly manager: 'apt-get' | 'apk' | 'dnf' | 'brew';
  readonly system: string;
  readonly asRoot: boolean;
  readonly steps: readonly (readonly string[])[];
}

const installers: readonly Installer[] = [
  {
    manager: 'apt-get',
    system: 'Debian and Ubuntu',
    asRoot: true,
    steps: [
      ['update', '-qq'],
      ['install', '-y', '-qq', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120'],
    ],
  },
  { manager: 'apk', system: 'Alpine', asRoot: true, steps: [['add', '--no-cache']] },
  { manager: 'dnf', system: 'Fedora', asRoot: true, steps: [['install', '-y', '-q']] },
  { manager: 'brew', system: 'macOS', asRoot: false, steps: [['install', '--quiet']] },
];

/**
 * Returns the path of a program. If it is not on the PATH, installs it with the system's package manager where this
 * user may do so.
 * @throws Error that tells how to install the program
 */
export function systemBinary(wanted: SystemBinary): string {
  const reason = onPath(wanted.program) ? undefined : install(wanted);
  const found = onPath(wanted.program);
  if (found) return found;
  const commands = installers.map(({ manager, system, steps }) => {
    const [verb] = steps.at(-1) ?? [];
    return `${system}: ${manager} ${verb} ${packagesOf(wanted, manager)}`;
  });
  throw new Error(
    [
      `${wanted.need}, and there is no ${wanted.program} on the PATH (${reason}).`,
      `Install it (${commands.join(', ')}).`,
      ...(wanted.instead ? [wanted.instead] : []),
    ].join(' '),
  );
}

function packagesOf({ program, packages }: SystemBinary, manager: Installer['manager']): string {
  return packages?.[manager] ?? program;
}

/** Tries to install the program. Returns the reason if that was not possible. */
function install(wanted: SystemBinary): string | undefined {
  const isRoot = process.getuid?.() === 0;
  const present = installers.filter(({ manager }) => onPath(manager));
  const usable = present.find(({ asRoot }) => asRoot === isRoot);
  if (!usable) {
    return present.length === 0 ? 'no known package manager' : 'this user may not install packages';
  }
  const { manager, steps } = usable;
  process.stderr.write(`Installing ${wanted.program} with ${manager} …\n`);
  try {
    for (const [index, step] of steps.entries()) {
      const args = index === steps.length - 1 ? [...step, ...packagesOf(wanted, manager).split(' ')] : step;
      // Test files run in parallel, and apt-get does not wait for another `apt-get update`.
      const command = manager === 'apt-get' ? ['flock', '/tmp/system-binary.lock', manager] : [manager];
      execFileSync(command[0] ?? manager, [...command.slice(1), ...args], {
        stdio: ['ignore', 'ignore', 'pipe'],
        timeout: 240_000,
        // RUNLEVEL=1 keeps the package from starting its own service.
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', HOMEBREW_NO_AUTO_UPDATE: '1' },
      });
    }
    return `${manager} did not install the program`;
  } catch (error) {
    return `${manager} failed: ${error instanceof Error ? error.message.trim() : error}`;
  }
}

/** The path of a program on the PATH. */
export function onPath(program: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
