import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProgram } from '../support/child-process.ts';
import { readFile } from '../support/documents.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { type CodeBlock, sectionsOf } from '../support/markdown.ts';
import { newFolder } from '../support/new-folder.ts';
import { systemBinary } from '../support/system-binary.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PAGE = 'docs/get-started.md';

/** The code of each step, in the order of the page. */
const STEPS = sectionsOf(readFile(PAGE)).flatMap(({ heading, blocks }) =>
  /^\d+\. /.test(heading?.title ?? '') ? [blocks] : [],
);
const shellBlocks = (step: number) => inLanguage(STEPS[step - 1], 'sh');
const inLanguage = (blocks: readonly CodeBlock[] = [], language: string) =>
  blocks.filter((block) => block.language === language).map(({ code }) => code);

/** The ports in the page. Each gets a free port, so that the test runs beside others. */
const PORTS = new Map<string, string>();
let folder: string;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  for (const program of ['curl', 'openssl']) systemBinary({ program, need: `The test of ${PAGE} runs ${program}` });
  for (const port of ['8080', '8081', '9090', '3000', '3002']) PORTS.set(port, String(await freePort()));
  folder = newFolder();
  for (const name of ['dist', 'node_modules', 'package.json']) symlinkSync(join(ROOT, name), join(folder, name));
  cpSync(join(ROOT, 'examples/first-cloud'), join(folder, 'examples/first-cloud'), { recursive: true });
  for (const name of ['jwt.js', 'forward.js']) {
    const file = join(folder, 'examples/first-cloud', name);
    writeFileSync(file, withFreePorts(readFileSync(file, 'utf8')));
  }
}, 300_000);

afterAll(async () => {
  await Promise.allSettled(stops.map((stop) => stop()));
});

function withFreePorts(text: string): string {
  const known = [...PORTS.keys()].join('|');
  return text.replaceAll(new RegExp(`(?<=[:\\s(])(${known})\\b`, 'g'), (port) => PORTS.get(port) ?? port);
}

const urlOf = (port: string, path = '/') => `http://127.0.0.1:${PORTS.get(port)}${path}`;

/** Starts what a user pastes into a shell. */
function paste(block = '') {
  const code = withFreePorts(block).replace('simulate-vendor', `simulate-vendor --port ${PORTS.get('8081')}`);
  const [port = '', adminPort = ''] = [PORTS.get('8080'), PORTS.get('9090')];
  // A group of its own, so that Ctrl-C reaches all of its processes, as in a terminal.
  const options = { cwd: folder, detached: true };
  const { pid, exit, log } = startProgram(
    ['bash', '-c', code],
    { HOST: '127.0.0.1', PORT: port, ADMIN_PORT: adminPort },
    options,
  );
  let isAlive = true;
  void exit.then(() => {
    isAlive = false;
  });
  const interrupt = async () => {
    if (isAlive) process.kill(-pid, 'SIGINT');
    return exit;
  };
  return { exit, output: () => log().join('\n'), interrupt };
}

/** Pastes a block that does not end by itself, and waits until the port answers. */
async function pasteServer(block: string | undefined, port: string) {
  const server = paste(block);
  stops.unshift(server.interrupt);
  await eventually(() => fetch(urlOf(port)), { everyMs: 100 }).catch((cause: unknown) => {
    throw new Error(`nothing listens on ${port}:\n${server.output()}`, { cause });
  });
  return server;
}

async function pasteAndWait(block: string | undefined) {
  const { exit, output } = paste(block);
  const { code } = await exit;
  return { code, output: output() };
}

const answerIn = (output: string) => JSON.parse(/^\{.*\}$/m.exec(output)?.[0] ?? '{}') as Record<string, unknown>;

describe(`${PAGE}, pasted step by step`, () => {
  let broker: ReturnType<typeof paste>;
  let cloud: ReturnType<typeof paste>;

  test('begins with the command of the README', () => {
    expect(STEPS).toHaveLength(7);
    expect(shellBlocks(1)).toEqual([expect.stringContaining('npm run demo')]);
    expect(readFile('README.md')).toContain(`\`\`\`sh\n${shellBlocks(1)[0]}\n\`\`\``);
  });

  test('starts a vendor and a cloud', async () => {
    const [vendor, createKey, jwt, ...others] = shellBlocks(2);
    await pasteServer(vendor, '8081');
    expect(await pasteAndWait(createKey)).toMatchObject({ code: 0 });
    cloud = await pasteServer(jwt, '3000');
    expect(others).toEqual([]);
  });

  test('writes settings that pass the check with one warning, and starts the broker', async () => {
    const [settings, check, serve] = shellBlocks(3);
    expect(await pasteAndWait(settings)).toEqual({ code: 0, output: '' });
    const { code, output } = await pasteAndWait(check);
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('1 warning, 0 failures') });
    broker = await pasteServer(serve, '8080');
    expect(broker.output()).toContain('"msg":"ready"');
  });

  test('gets a token with one vendor login, and finds the account by its unionId', async () => {
    const [ask, state, account, refused, signature, audience] = shellBlocks(4);
    const { output } = await pasteAndWait(ask);
    expect(output).toContain('HTTP/1.1 200 OK');
    expect(Object.keys(answerIn(output))).toHaveLength(6);
    await pasteAndWait(ask);
    expect(answerIn((await pasteAndWait(state)).output)).toMatchObject({ succeeded: 1 });
    expect(answerIn((await pasteAndWait(account)).output)).toMatchObject({ region: 'DE' });
    const inOneShell = (block = '') => pasteAndWait(`${ask?.split('\n')[0]}\n${block}`);
    expect(answerIn((await inOneShell(refused)).output)).toMatchObject({ code: 'session_invalid' });
    expect((await inOneShell(signature)).output).toMatch(/^FAIL {2}session signature/m);
    expect((await inOneShell(audience)).output).toMatch(/^FAIL {2}session aud/m);
  });

  test('accepts sessions of the cloud after the cloud has restarted', async () => {
    await cloud.interrupt();
    cloud = await pasteServer(shellBlocks(2).at(-1), '3000');
    expect((await pasteAndWait(shellBlocks(4)[0])).output).toContain('HTTP/1.1 200 OK');
  });

  test('gets a token in forward mode', async () => {
    const [forward, serve, ask] = shellBlocks(5);
    await cloud.interrupt();
    cloud = await pasteServer(forward, '3002');
    await broker.interrupt();
    broker = await pasteServer(serve, '8080');
    const { output } = await pasteAndWait(ask);
    expect(output).toContain('HTTP/1.1 200 OK');
    expect(Object.keys(answerIn(output))).toHaveLength(6);
  });

  test('finds out why a user is refused', async () => {
    const [ask, check] = shellBlocks(6);
    const problem = answerIn((await pasteAndWait(ask)).output);
    const [shown = '{}'] = inLanguage(STEPS[5], 'json');
    expect(problem).toEqual({ ...JSON.parse(shown), requestId: expect.any(String) });
    await expect.poll(() => broker.output()).toContain(problem['requestId']);
    const { code, output } = await pasteAndWait(check);
    expect({ code, output }).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^FAIL {2}session .*refused .* 401$/m),
    });
    expect(cloud.output()).toContain('401: unknown session');
  });
});
