// Makes dist/: the service and all it needs in a few files, as looking for hundreds takes half of the time to start.
import { createHash } from 'node:crypto';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { runbookPages } from './runbook-pages.mjs';
import { billOfMaterials } from './sbom.mjs';

/** The variables that CommonJS provides in every module. */
const COMMON_JS = `
import { createRequire as createRequireHere } from 'node:module';
const require = createRequireHere(import.meta.url);
const { filename: __filename, dirname: __dirname } = import.meta;
`.trim();

const STATIC = `static/: swagger-ui (Apache-2.0), https://github.com/swagger-api/swagger-ui, as @fastify/swagger-ui
publishes it. The text of the Apache License 2.0 is that of @opentelemetry/api below.`;
const SWAGGER_UI = 'node_modules/@fastify/swagger-ui/static';
const SWAGGER_UI_FILES = ['favicon-32x32.png', 'index.css'];
const COMPRESSED_FILES = ['swagger-ui-bundle.js', 'swagger-ui.css'];

process.chdir(join(import.meta.dirname, '..'));
await rm('dist', { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['src/main.ts'],
  outdir: 'dist',
  chunkNames: 'lib/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  banner: { js: COMMON_JS },
  sourcemap: true,
  sourcesContent: false,
  // V8 keeps the text of the code in memory, with 2 bytes for each character if one of a file is not in Latin-1.
  // Comments and spaces were 29 % of it.
  minifyWhitespace: true,
  lineLimit: 160,
  legalComments: 'external',
  metafile: true,
  // So that the paths of packages are below the project, also if its node_modules is a link.
  preserveSymlinks: true,
});
// Where the bundled code looks for them: beside its chunk.
await cp('src/store/redis/scripts', 'dist/lib/scripts', { recursive: true });
// The files of /docs and /openapi.json (src/http/routes/pages.ts), and of the command openapi.
for (const file of SWAGGER_UI_FILES) await cp(`${SWAGGER_UI}/${file}`, `dist/static/${file}`);
for (const file of COMPRESSED_FILES) {
  await writeFile(`dist/static/${file}.gz`, gzipSync(await readFile(`${SWAGGER_UI}/${file}`), { level: 9 }));
}
await cp('openapi', 'dist/static', { recursive: true });
// The page of GET /console: src/http/routes/pages.ts.
await build({
  entryPoints: ['console/console.ts', 'console/console.css'],
  outdir: 'dist/static/console',
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: ['chrome111', 'firefox115', 'safari16.4'],
  minify: true,
  charset: 'utf8',
});
await cp('console/icon.svg', 'dist/static/console/icon.svg');
const pages = { console: await readFile('console/console.html', 'utf8') };
for (const [language, page] of Object.entries(await runbookPages())) pages[`runbooks-${language}`] = page;
for (const [name, page] of Object.entries(pages)) {
  await writeFile(`dist/static/console/${name}.html`, await withIntegrity(page));
}
const folders = packages(Object.keys(metafile.inputs));
const texts = await licences(folders);
await writeFile('dist/THIRD-PARTY-LICENSES', [STATIC, ...texts].join(`\n\n${'-'.repeat(80)}\n\n`));

const copies = [{ parent: 'node_modules/@fastify/swagger-ui', name: 'swagger-ui-dist', license: 'Apache-2.0' }];
await writeFile('dist/sbom.cdx.json', `${JSON.stringify(await billOfMaterials(folders, copies), null, 2)}\n`);

/** So a browser runs no file that something else has left in its cache. */
async function withIntegrity(page) {
  const digests = {};
  for (const file of ['console.css', 'console.js']) {
    const content = await readFile(`dist/static/console/${file}`);
    digests[file] = `sha384-${createHash('sha384').update(content).digest('base64')}`;
  }
  return page.replace(
    /(?:href|src)="[./\w]*(console\.(?:css|js))"/g,
    (link, file) => `${link} integrity="${digests[file]}"`,
  );
}

/** The folders of the packages these files are of. */
function packages(files) {
  const folders = files.flatMap((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []);
  return [...new Set(folders)].sort();
}

async function licences(folders) {
  return Promise.all(
    folders.map(async (folder) => {
      const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
      const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
      const parts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
      return [`${name} ${version} (${license})`, ...parts].join('\n\n');
    }),
  );
}
