// `npm run mutate`: mutates the given folders or files of src/, and says how many mutants the tests find.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDERS = ['broker', 'token', 'vendor-api', 'session'];
const root = fileURLToPath(new URL('../..', import.meta.url));
const stryker = fileURLToPath(new URL('node_modules/@stryker-mutator/core/bin/stryker.js', import.meta.url));

/**
 * Mutates files of one folder. Each folder has its own run, so that a mutant runs only against the tests of its folder.
 */
function mutate(folder, files, options) {
  const args = ['run', 'tools/mutation/stryker.config.mjs', '--mutate', files.join(','), ...options];
  const env = { ...process.env, MUTATE_FOLDER: folder };
  const { status } = spawnSync(process.execPath, [stryker, ...args], { cwd: root, env, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  const report = JSON.parse(readFileSync(new URL(`reports/${folder}.json`, import.meta.url), 'utf8'));
  const mutants = Object.values(report.files).flatMap((file) => file.mutants);
  const count = (...wanted) => mutants.filter((mutant) => wanted.includes(mutant.status)).length;
  const detected = count('Killed', 'Timeout');
  const valid = detected + count('Survived', 'NoCoverage');
  const score = ((100 * detected) / valid).toFixed(1);
  return `src/${folder}: ${detected} of ${valid} mutants found, ${score} % (${count('Ignored')} ignored)`;
}

const args = process.argv.slice(2);
const names = args.filter((arg) => !arg.startsWith('--'));
const options = args.filter((arg) => arg.startsWith('--'));

if (!existsSync(stryker))
  execFileSync('npm', ['ci', '--ignore-scripts', '--prefix', 'tools/mutation'], { cwd: root, stdio: 'inherit' });
const results = [];
for (const folder of FOLDERS) {
  const all = names.length === 0 || names.includes(folder);
  const files = all ? [`src/${folder}/**/*.ts`] : names.filter((name) => name.startsWith(`src/${folder}/`));
  if (files.length > 0) results.push(mutate(folder, files, options));
}
process.stdout.write(`${results.join('\n')}\n`);
