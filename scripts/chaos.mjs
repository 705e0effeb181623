// Plays every fault of test/faults against real processes, and writes what came of it into docs/reliability.md.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const document = fileURLToPath(new URL('../docs/reliability.md', import.meta.url));
const [BEGIN, END] = ['<!-- board: written by npm run chaos -->', '<!-- end of board -->'];
const rowsFile = join(mkdtempSync(join(tmpdir(), 'chaos-')), 'rows.jsonl');

const { status } = spawnSync('npx', ['vitest', 'run', 'test/faults', '--maxWorkers=1', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, CHAOS_ROWS: rowsFile },
});
const rows = existsSync(rowsFile)
  ? readFileSync(rowsFile, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  : [];
const cells = (row) => [row.fault, row.promise, row.measured];
const table = [['fault', 'promised', 'measured'], ['---', '---', '---'], ...rows.map(cells)].map(
  (row) => `| ${row.join(' | ')} |`,
);
process.stdout.write(`\n${table.join('\n')}\n`);
if (status === 0 && process.argv.length === 2) {
  const text = readFileSync(document, 'utf8');
  const [before, after] = [text.slice(0, text.indexOf(BEGIN)), text.slice(text.indexOf(END))];
  writeFileSync(document, `${before}${BEGIN}\n\n${table.join('\n')}\n\n${after}`);
}
process.exit(status ?? 1);
