// Adds up the tests of all frameworks. Argument: the folder with their results. Last line: "N passed, M failed".
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const results = process.argv[2];
const KOTLIN_MODULES = ['core', 'okhttp', 'android-storage'];
const STARTER = 'clients/spring-boot-starter/target';
const readable = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

/** Prints each failed test, because a CI system may show only the end of the log. @returns tests that passed and failed */
function vitest(file) {
  const {
    numPassedTests = 0,
    numFailedTests = 0,
    testResults = [],
  } = JSON.parse(readable(join(results, file)) || '{}');
  for (const { name, assertionResults } of testResults) {
    for (const { fullName, failureMessages } of assertionResults.filter(({ status }) => status === 'failed')) {
      process.stdout.write(`FAILED ${relative('.', name)}: ${fullName}\n${failureMessages.join('\n')}\n`);
    }
  }
  return [numPassedTests, numFailedTests];
}

/** JUnit reports of Maven's surefire plugin. */
function surefire(...folders) {
  const sum = [0, 0];
  for (const file of folders.flatMap(reportsIn)) {
    const [, head = ''] = /<testsuite\s([^>]*)>/.exec(readable(file)) ?? [];
    const count = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
    const failed = count('failures') + count('errors');
    sum[0] += count('tests') - count('skipped') - failed;
    sum[1] += failed;
  }
  return sum;
}

const reportsIn = (folder) => entries(folder, /^TEST-.*\.xml$/);

function entries(folder, pattern) {
  try {
    return readdirSync(folder).flatMap((name) => (pattern.test(name) ? [join(folder, name)] : []));
  } catch {
    return [];
  }
}

/** The last summary of XCTest. */
function xctest(file) {
  const lines = [
    ...readable(file).matchAll(/Executed (\d+) tests?, with (?:(\d+) tests? skipped and )?(\d+) failure/g),
  ];
  const [, tests = 0, skipped = 0, failed = 0] = lines.at(-1)?.map(Number) ?? [];
  return [tests - (skipped || 0) - failed, failed];
}

/** The tests of each step. A step that fails without a failed test (for example, because it does not compile) counts as one failure. */
const counters = {
  node: () => vitest('vitest.json'),
  kotlin: () => surefire(...KOTLIN_MODULES.map((name) => `clients/kotlin/${name}/target/surefire-reports`)),
  // One folder for each version of Spring Boot.
  spring: () => surefire(...entries(STARTER, /^surefire-reports-/)),
  swift: () => xctest(join(results, 'swift.log')),
};

let [passed, failed] = [0, 0];
for (const name of ['install', 'check', 'node', 'counts', 'kotlin', 'spring', 'swift']) {
  const succeeded = readable(join(results, `${name}.step`)).trim() === '0';
  const [good, bad] = counters[name]?.() ?? [succeeded ? 1 : 0, 0];
  const failures = succeeded ? bad : Math.max(bad, 1);
  process.stdout.write(`${name}: ${good} passed, ${failures} failed\n`);
  passed += good;
  failed += failures;
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
