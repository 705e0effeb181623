// Writes openapi/: the OpenAPI documents that the routes of the APIs give. With --check, it changes nothing, and fails
// if a document differs in any byte.
import { readFileSync, writeFileSync } from 'node:fs';
import { internalOpenApiDocument, openApiDocument } from './openapi-document.ts';

const mayWrite = !process.argv.includes('--check');
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

for (const [name, documentOf] of [
  ['openapi.json', openApiDocument],
  ['internal.json', internalOpenApiDocument],
] as const) {
  const file = new URL(`../openapi/${name}`, import.meta.url);
  const text = `${JSON.stringify(await documentOf(version), null, 2)}\n`;
  if (mayWrite) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`openapi/${name} differs from what the code gives. Run: npm run openapi\n`);
    process.exitCode = 1;
  }
}
