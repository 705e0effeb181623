import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { SESSION_MODES } from '../../src/config/variables.ts';
import { internalOpenApiDocument } from '../../src/http/openapi-document.ts';
import { createSessionVerifier } from '../../src/session/session-verifier.ts';
import { systemClock } from '../../src/token/clock.ts';
import { silentObserver } from '../../src/token/observer.ts';
import { end, exitOf } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';

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

describe('the cloud in docs/integrate-your-cloud.md', () => {
  test.each([
    ['jwt', 'jose', '3000', 'session'],
    ['introspection', 'oidc-provider', '3001', 'access_token'],
  ])('for %s, made with %s, issues sessions that the broker accepts', async (mode, library, documented, answered) => {
    const port = String(await freePort());
    const [example, ...others] = codeIn('js').filter((code) => code.includes(`from '${library}'`));
    expect(example).toContain(documented);
    expect(others).toEqual([]);
    const code = example?.replaceAll(documented, port) ?? '';
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], { cwd: ROOT, stdio: 'ignore' });
    const exit = exitOf(child);
    onTestFinished(() => end(child, exit, 1_000).then(() => undefined));

    const login = () => fetch(`http://127.0.0.1:${port}/login`, { method: 'POST' }).then((answer) => answer.json());
    const session = ((await eventually(login)) as Record<string, string>)[answered] ?? '';
    const config = loadConfig(parseEnv(settingsFor(mode).replaceAll(documented, port)));
    const now = Date.now();
    expect(await createSessionVerifier(config.session, systemClock, silentObserver).verify(session)).toEqual({
      unionId: '7f3c9a',
      region: 'DE',
      app: undefined,
      issuedAt: expect.closeTo(now, -5),
      expiresAt: expect.closeTo(now + 3_600_000, -5),
      freshUntil: expect.closeTo(now + 30_000, -5),
    });
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
