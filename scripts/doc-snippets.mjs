// Keeps code in documents equal to tested source code. In Markdown, a comment stands before the fence:
//   <!-- code: clients/kotlin/core/src/test/kotlin/example/CameraApp.kt#login -->
// In the source file, the code stands between two comment lines:
//   // docs: login
//   // docs end
// One part may contain others. Fails if a document differs. With --write, it changes the documents. Kotlin, Swift and
// Java need such a comment everywhere.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const MARK = /^<!-- code: (\S+)#(\S+) -->$/;
const FENCE = /^```(\w*)$/;
const PART = /^\s*\/\/ docs(?:: \S+| end)$/;
const TESTED_LANGUAGES = new Set(['kotlin', 'swift', 'java']);

const write = process.argv.includes('--write');
const problems = [];

for (const document of documents()) {
  const before = readFileSync(document, 'utf8');
  const after = withSnippets(document, before.split('\n')).join('\n');
  if (after === before) continue;
  if (write) writeFileSync(document, after);
  else problems.push(`${document}: its code differs from the source. Run: npm run snippets`);
}
if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n`);
  process.exit(1);
}

function documents() {
  const inDocs = readdirSync('docs', { recursive: true }).map((name) => `docs/${name}`);
  const clients = existsSync('clients') ? readdirSync('clients') : [];
  const readmes = clients.flatMap((name) => [`clients/${name}/README.md`, `clients/${name}/README.zh-CN.md`]);
  return ['README.md', ...inDocs, ...readmes].filter((name) => name.endsWith('.md') && existsSync(name));
}

/**
 * The lines of the document, with the code from its sources. A line that cannot be replaced is a problem, and stays.
 */
function withSnippets(document, lines) {
  const result = [];
  for (let at = 0; at < lines.length; ) {
    const [, path, name] = MARK.exec(lines[at]) ?? [];
    const open = path === undefined ? at : at + 1;
    const [, language] = FENCE.exec(lines[open] ?? '') ?? [];
    const close = language === undefined ? -1 : lines.indexOf('```', open + 1);
    const code = path === undefined ? undefined : snippet(path, name);
    if (path !== undefined && close === -1) problems.push(`${document}: no code follows ${lines[at]}`);
    if (path !== undefined && code === undefined)
      problems.push(`${document}: ${path} has no single part named ${name}`);
    if (path === undefined && TESTED_LANGUAGES.has(language)) {
      problems.push(`${document}:${at + 1}: code in ${language} needs a comment that names its tested source`);
    }
    const next = close === -1 ? at + 1 : close + 1;
    if (close === -1 || code === undefined) result.push(...lines.slice(at, next));
    else result.push(lines[at], lines[open], ...code, lines[close]);
    at = next;
  }
  return result;
}

/**
 * The lines between the two comments, without their common indentation. `undefined`: there is not exactly one such
 * part.
 */
function snippet(path, name) {
  if (!existsSync(path)) return undefined;
  const lines = readFileSync(path, 'utf8').split('\n');
  const begins = lines.flatMap((line, at) => (line.trim() === `// docs: ${name}` ? [at] : []));
  const [begin] = begins;
  let open = 0;
  const end = lines.findIndex((line, at) => {
    if (at < begin || !PART.test(line)) return false;
    open += line.includes('docs:') ? 1 : -1;
    return open === 0;
  });
  if (begins.length !== 1 || end === -1) return undefined;
  const code = lines.slice(begin + 1, end).filter((line) => !PART.test(line));
  const indents = code.filter((line) => line.trim() !== '').map((line) => line.search(/\S/));
  const indent = Math.min(...indents);
  return code.map((line) => line.slice(indent));
}
