import { execSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { internalOpenApiDocument } from '../../scripts/openapi-document.ts';
import { loadConfig } from '../../src/config/config.ts';
import { SESSION_MODES } from '../../src/config/variables.ts';
import { createSessionVerifier } from '../../src/session/session-verifier.ts';
import { systemClock } from '../../src/token/clock.ts';
import { accountId } from '../../src/token/subject.ts';
import { end, exitOf } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { silentObserver } from '../support/silent-observer.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLOUD = readFileSync(`${ROOT}docs/integrate-your-cloud.md`, 'utf8');
const SETTINGS = codeIn('sh').filter((block) => /^(VENDOR|SESSION)_/.test(block));

function codeIn(language: string): string[] {
  const [, ...blocks] = CLOUD.split(`\n\`\`\`${language}\n`);
  return blocks.map((block) => block.split('\n```')[0] ?? '');
}

/** The only block of settings for this mode, and the block for the vendor. */
function settingsFor(mode: string): string {
  const [vendor, ...sessions] = SETTINGS;
  const own = sessions.filter((block) => block.startsWith(`SESSION_MODE=${mode}\n`));
  expect(own).toHaveLength(1);
  return `${vendor}\n${own}`;
}

test.each(SESSION_MODES)('the broker accepts the settings of docs/integrate-your-cloud.md for %s', (mode) => {
  expect(loadConfig(parseEnv(settingsFor(mode))).session.mode).toBe(mode);
});

/** Starts the only example that contains `part`, in a folder of its own with the packages and the key that it needs. */
async function startExample(part: string, documentedPort: string) {
  const port = String(await freePort());
  const [example = '', ...others] = codeIn('js').filter((code) => code.includes(part));
  expect(example).toContain(documentedPort);
  expect(others).toEqual([]);

  const folder = mkdtempSync(join(tmpdir(), 'documented-cloud-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const [createKey = ''] = /^openssl genpkey .*$/m.exec(CLOUD) ?? [];
  execSync(createKey, { cwd: folder, stdio: 'ignore' });
  writeFileSync(join(folder, 'example.mjs'), example.replaceAll(documentedPort, port));

  const start = () => {
    const child = spawn(process.execPath, ['example.mjs'], { cwd: folder, stdio: 'ignore' });
    const exit = exitOf(child);
    const stop = () => end(child, exit, 1_000);
    onTestFinished(() => stop().then(() => undefined));
    return stop;
  };
  return { port, start };
}

/** Verifies a session as the broker does with the documented settings of the mode. */
function verify(mode: string, session: string, documentedPort: string, port: string) {
  const config = loadConfig(parseEnv(settingsFor(mode).replaceAll(documentedPort, port)));
  return createSessionVerifier(config.session, {
    maxBytes: 2 ** 20,
    clock: systemClock,
    observer: silentObserver,
  }).verify(session);
}

const logIn = (port: string) => fetch(`http://127.0.0.1:${port}/login`, { method: 'POST' });

const principal = (lifeMs: number) => ({
  unionId: '7f3c9a',
  region: 'DE',
  app: undefined,
  issuedAt: expect.closeTo(Date.now(), -5),
  expiresAt: expect.closeTo(Date.now() + lifeMs, -5),
  account: accountId('7f3c9a'),
  freshUntil: expect.closeTo(systemClock.monotonic() + 30_000, -5),
});

describe('the cloud in docs/integrate-your-cloud.md', () => {
  test.each([
    ['jwt', 'jose', '3000', 'session'],
    ['introspection', 'oidc-provider', '3001', 'access_token'],
  ])('for %s, made with %s, issues sessions that the broker accepts', async (mode, library, documented, answered) => {
    const { port, start } = await startExample(`from '${library}'`, documented);
    start();
    const answer = (await eventually(async () => (await logIn(port)).json())) as Record<string, string>;
    expect(await verify(mode, answer[answered] ?? '', documented, port)).toEqual(principal(3_600_000));
  });

  test('for jwt, keeps its key: sessions outlive its restart', async () => {
    const { port, start } = await startExample("from 'jose'", '3000');
    const stop = start();
    const { session } = (await eventually(async () => (await logIn(port)).json())) as { session: string };
    await stop();
    start();
    await eventually(() => logIn(port));
    expect(await verify('jwt', session, '3000', port)).toEqual(principal(3_600_000));
  });

  test('for forward, answers for its cookie with claims that the broker accepts, and otherwise with 401', async () => {
    const { port, start } = await startExample('/whoami', '3002');
    start();
    const login = await eventually(() => logIn(port));
    const [cookie = ''] = login.headers.getSetCookie()[0]?.split(';') ?? [];
    const asForwarded = JSON.stringify({ cookie });
    expect(await verify('forward', asForwarded, '3002', port)).toEqual(principal(30 * 86_400_000));
    const wrong = verify('forward', JSON.stringify({ cookie: 'sid=made-up' }), '3002', port);
    await expect(wrong).rejects.toMatchObject({ code: 'session_invalid' });
  });
});

test('docs/integrate-your-cloud.md calls every path under /accounts/ of the internal API, and no other', async () => {
  const { paths } = (await internalOpenApiDocument('1.0.0')) as { paths: Record<string, object> };
  const patterns = Object.keys(paths)
    .filter((path) => path.startsWith('/accounts/'))
    .map((path) => new RegExp(`^${path.replaceAll(/{\w+}/g, '[^/]+')}$`));
  const asked = [...CLOUD.matchAll(/\$BROKER(\/[^?"]+)/g)].map(([, path = '']) => path);
  expect(asked.filter((path) => !patterns.some((pattern) => pattern.test(path)))).toEqual([]);
  expect(patterns.filter((pattern) => !asked.some((path) => pattern.test(path)))).toEqual([]);
});
