// Runs every fault test in test/faults against real processes, and writes the results into docs/test-results.md.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markdownTable, writeMarkedSection } from '../scripts/markdown.ts';
import type { Row } from '../test/faults/fault-report.ts';

const rowsFile = join(mkdtempSync(join(tmpdir(), 'chaos-')), 'rows.jsonl');

const { status } = spawnSync('vitest', ['run', 'test/faults', '--maxWorkers=1', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, CHAOS_ROWS: rowsFile },
});
const lines = existsSync(rowsFile) ? readFileSync(rowsFile, 'utf8').trim().split('\n') : [];
const rows = lines.map((line) => JSON.parse(line) as Row);
const promises = [...new Set(rows.map(({ promise }) => promise))];
const groups = promises.flatMap((promise) => [
  [`**${promise}**`, ''],
  ...rows.filter((row) => row.promise === promise).map(({ fault, measured }) => [fault, measured]),
]);
const table = markdownTable([['fault', 'measured'], ...groups]);
process.stdout.write(`\n${table}\n`);
if (status === 0 && process.argv.length === 2) {
  writeMarkedSection(new URL('../docs/test-results.md', import.meta.url), 'board', table);
}
process.exit(status ?? 1);
