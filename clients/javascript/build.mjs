// Writes dist/: ES modules, and the same as CommonJS. `npm pack` runs it.
import { execFileSync } from 'node:child_process';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';

process.chdir(import.meta.dirname);
rmSync('dist', { recursive: true, force: true });
const compile = (...options) => execFileSync('tsc', ['-p', '.', ...options], { stdio: 'inherit' });
compile('--outDir', 'dist/esm');
compile('--outDir', 'dist/cjs', '--module', 'CommonJS');
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n');
copyFileSync('../../LICENSE', 'dist/LICENSE');
