import { execFileSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

/** What the build script imports. */
const OF_BUILD = /^node_modules\/(@?esbuild|marked)(\/|$)/;

interface LockedPackage {
  readonly integrity?: string;
  readonly dev?: boolean;
}

/**
 * Packs the files of `dist/` that `serve` loads with a Redis, as the build script of that commit makes them, for
 * test/upgrade. So the test needs no history, and the same commit gives the same bytes. It needs the tar of GNU.
 * @param tree a worktree of the commit, without packages
 * @param nodeModules the packages of the present code
 * @returns the path of the archive
 * @throws Error if the commit needs packages that are not in `nodeModules`
 */
export async function packBaseline(tree: string, nodeModules: string): Promise<string> {
  const [present, released] = [packagesIn(dirname(nodeModules)), packagesIn(tree)];
  const bundled = Object.entries(released).filter(([path, { dev }]) => path !== '' && (!dev || OF_BUILD.test(path)));
  const others = bundled.filter(([path, { integrity }]) => present[path]?.integrity !== integrity);
  if (others.length > 0) throw new Error(`Not the packages of this commit: ${others.map(([path]) => path).join(', ')}`);
  symlinkSync(nodeModules, join(tree, 'node_modules'));
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: tree, stdio: ['ignore', 'ignore', 'inherit'] });
  // The broker reads its version from package.json.
  const files = ['package.json', 'dist/lib/scripts', ...(await filesOfServe(tree))];
  const sameBytes = ['--sort=name', '--mtime=2000-01-01Z', '--owner=0', '--group=0', '--numeric-owner', '--mode=go=rX'];
  const tar = execFileSync('tar', ['-c', ...sameBytes, ...files], { cwd: tree, maxBuffer: 2 ** 28 });
  const archive = join(tree, 'last-release.tgz');
  writeFileSync(archive, execFileSync('gzip', ['-9n'], { input: tar, maxBuffer: 2 ** 28 }));
  return archive;
}

/** What main.js imports, and what the command does. Nothing else of the commands, and nothing that traces requests. */
async function filesOfServe(tree: string): Promise<readonly string[]> {
  const { metafile } = await build({
    absWorkingDir: tree,
    entryPoints: ['dist/main.js'],
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
    metafile: true,
  });
  const found = new Set<string>();
  const follow = (path: string) => {
    if (found.has(path)) return;
    found.add(path);
    for (const { kind, path: imported, external } of metafile.inputs[path]?.imports ?? [])
      if (!external && (kind === 'import-statement' || /^dist\/lib\/serve-/.test(imported))) follow(imported);
  };
  follow('dist/main.js');
  return [...found].toSorted();
}

function packagesIn(folder: string): Readonly<Record<string, LockedPackage>> {
  return JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
}
