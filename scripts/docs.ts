// `npm run docs`: builds the documents as a web site. `npm run docs -- --serve` then serves it on this machine.
import { parseArgs } from 'node:util';
import { buildSite, DIST, installPackages, serveSite } from '../docs/site/build.ts';

const print = (line: string) => void process.stdout.write(`${line}\n`);

try {
  const { values: options } = parseArgs({ options: { serve: { type: 'boolean', default: false } } });
  installPackages();
  buildSite();
  print(`The site is in ${DIST}. Any web server can serve this folder at the root of a domain.`);
  if (options.serve) print(`${(await serveSite(4173)).url} shows it. Ctrl-C ends the server.`);
  else print('To see it on this machine: npm run docs -- --serve');
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
