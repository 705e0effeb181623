// `npm run mutate:lua`: puts one mistake at a time into a copy of the Lua scripts. A test must fail for each.
// `npm run mutate:lua -- save "erase: the country is kept"` runs the mutants of some scripts, or single ones.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askRedis, startRedis } from '../test/support/redis-server.ts';
import { allMutants } from './lua-mutants.ts';

const ROOT = join(import.meta.dirname, '..');
const SCRIPTS = 'src/store/redis/scripts';
const CONTRACT = 'test/contract/token-store.test.ts';
/** Tests with random bytes take long to fail. */
const TITLES = '^(?!mutated records)';

const unit = (name: string) => `test/unit/store/redis/${name}.test.ts`;
/** Groups of test files, fastest first. A group runs only if the groups before it found nothing. */
type TestGroups = readonly (readonly string[])[];
const STORE_TESTS: TestGroups = [
  [
    unit('scripts/due-queue'),
    unit('scripts/generations'),
    unit('scripts/stored-keys'),
    unit('scripts/fence-life'),
    unit('scripts/exact-limits'),
    unit('redis-accounts'),
  ],
  [unit('scripts/deadlines'), unit('connection/error-kind'), unit('foreign-due-entries')],
  [CONTRACT],
  ['test/hostile/forged-redis.test.ts'],
];
const RATE_TESTS: TestGroups = [[unit('scripts/budget-scripts')], [CONTRACT]];
/** The tests that may find a mistake in a script. The other scripts have STORE_TESTS. */
const TESTS: Readonly<Record<string, TestGroups>> = {
  take: RATE_TESTS,
  giveBack: RATE_TESTS,
  reserve: RATE_TESTS,
  resealField: [[unit('rekey')]],
  nextPlace: RATE_TESTS,
  endsOf: [[unit('scripts/due-queue')]],
  leave: [[CONTRACT]],
  leftByOthers: [[CONTRACT]],
  beat: [[unit('scripts/exact-limits')], [unit('announcements')], [unit('data-loss')]],
  probe: [[unit('probe')]],
};

interface TestReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

function copyOfTheProject(): string {
  const copy = mkdtempSync(join(tmpdir(), 'mutate-lua-'));
  for (const folder of ['src', 'test']) cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
  for (const file of ['package.json', 'vitest.config.ts']) cpSync(join(ROOT, file), join(copy, file));
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** @returns the title of a test that failed, if one did. @throws Error when the tests could not run */
function failedTest(copy: string, redisUrl: string, files: readonly string[]): string | undefined {
  const report = join(copy, 'report.json');
  rmSync(report, { force: true });
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  // A test that fails once may have missed its time on a busy machine. A mistake is found each time.
  const options = ['--bail', '1', '--retry', '1', '--reporter', 'json', '--outputFile', report];
  const args = [vitest, 'run', ...files, '-t', TITLES, ...options];
  const env = { ...process.env, TEST_REDIS_URL: redisUrl };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: copy, env, encoding: 'utf8' });
  if (status === 0) return undefined;
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as TestReport;
  const failed = testResults.flatMap((file) => file.assertionResults).find((one) => one.status === 'failed');
  if (!failed) throw new Error(`the tests ended with status ${status}, but none failed:\n${stdout}${stderr}`);
  return failed.title;
}

const wanted = process.argv.slice(2);
const mutants = allMutants().filter(
  ({ script, mutant: [name] }) =>
    wanted.length === 0 || wanted.includes(script) || wanted.includes(`${script}: ${name}`),
);
const testsOf = (script: string) => TESTS[script] ?? STORE_TESTS;
const copy = copyOfTheProject();
const redis = await startRedis();
const survivors: string[] = [];
try {
  const files = new Set(mutants.flatMap(({ script }) => testsOf(script).flat()));
  const broken = failedTest(copy, redis.url, [...files]);
  if (broken) throw new Error(`a test fails without any mistake: ${broken}`);
  const prelude = readFileSync(join(copy, SCRIPTS, 'prelude.lua'), 'utf8');
  for (const { script, mutant } of mutants) {
    const [name, from, to] = mutant;
    const path = join(copy, SCRIPTS, `${script}.lua`);
    const text = readFileSync(path, 'utf8');
    const changed = text.replace(from, () => to);
    // A script that does not compile would fail every test.
    await askRedis(redis, (client) => client.script('LOAD', script === 'prelude' ? changed : prelude + changed));
    writeFileSync(path, changed);
    let test: string | undefined;
    for (const group of testsOf(script)) test ??= failedTest(copy, redis.url, group);
    writeFileSync(path, text);
    process.stdout.write(test ? `killed   ${script}: ${name} | ${test}\n` : `SURVIVED ${script}: ${name}\n`);
    if (!test) survivors.push(`${script}: ${name}`);
  }
} finally {
  await redis.stop();
  rmSync(copy, { recursive: true });
}
const killed = mutants.length - survivors.length;
const score = ((100 * killed) / mutants.length).toFixed(1);
process.stdout.write(`\n${killed} of ${mutants.length} mutants killed: ${score} %\n`);
for (const survivor of survivors) process.stdout.write(`survivor ${survivor}\n`);
process.exit(survivors.length === 0 ? 0 : 1);
