import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { HelpRequested, UsageError } from '../../../src/commands/command-line.ts';
import { startSimulators } from '../../../src/commands/simulate-vendor.ts';
import { startVendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import { logIn } from '../simulator/vendor-login.ts';

const APP_ENV = { VENDOR_APP_ID: 'env-app', VENDOR_APP_TOKEN: 'env-token', VENDOR_APP_KEY: 'env-key-secret' };

async function run(args: string[], env: NodeJS.ProcessEnv = {}) {
  const lines: string[] = [];
  const { close } = await startSimulators(args, { env, out: (line) => lines.push(line) });
  const output = lines.join('\n');
  return { close, output, urls: output.match(/^[^ ].*http\S+/gm)?.map((line) => line.replace(/.* /, '')) ?? [] };
}

test('starts a vendor that accepts the app of the environment, and shows neither its token nor its key', async () => {
  const { close, output, urls } = await run(['--port', '0', '--lifetime', '60', '--mode', 'replace'], APP_ENV);
  const app = { appId: 'env-app', appToken: 'env-token', appKey: 'env-key-secret' };
  expect(await logIn({ url: String(urls[0]) }, { app })).toMatchObject({ code: 0 });
  expect(output).toMatch(/^ {2}apps +default \(appId env-app\)$/m);
  expect(output).not.toMatch(/env-token|env-key/);
  await close();
});

test('accepts a demo app if the environment has none', async () => {
  const demo = await run(['--port', '0']);
  expect(await logIn({ url: String(demo.urls[0]) })).toMatchObject({ code: 0 });
  expect(demo.output).toContain('VENDOR_APP_KEY=demo-app-key');
  await demo.close();
});

test.each(['VENDOR_APPS', 'VENDOR_APPS_FILE'])('accepts each app of %s, and shows their names alone', async (name) => {
  const ios = { appId: 'ios-app', appToken: 'ios-token', appKey: 'ios-key-secret' };
  const android = {
    appId: 'android-app',
    appToken: 'android-token',
    appKey: 'android-key',
    accessId: 'android-access',
  };
  const text = JSON.stringify({ ios, android });
  const path = join(mkdtempSync(join(tmpdir(), 'apps-')), name);
  onTestFinished(() => rmSync(dirname(path), { recursive: true }));
  writeFileSync(path, text);
  const { close, output, urls } = await run(['--port', '0'], { [name]: name.endsWith('_FILE') ? path : text });
  for (const app of [ios, android]) expect(await logIn({ url: String(urls[0]) }, { app })).toMatchObject({ code: 0 });
  expect(output).toMatch(/^ {2}apps +ios \(appId ios-app\), android \(appId android-app\)$/m);
  expect(output).toContain(`VENDOR_BASE_URL=${urls[0]}`);
  expect(output).not.toMatch(/(ios|android)-(token|key)|VENDOR_APP_ID/);
  await close();
});

test('also starts the customer cloud if its flag is set', async () => {
  const { close, urls } = await run(['--port', '0', '--customer-cloud-port', '0']);
  const response = await fetch(`${urls[1]}/login`, { method: 'POST', body: '{"account":"alice"}' });
  expect(await response.json()).toMatchObject({ session: expect.any(String) });
  await close();
});

test.each(['--help', '-h'])('starts nothing with %s, but ends with its help', async (flag) => {
  const help = await run(['--port', '0', flag]).catch((thrown: unknown) => thrown);
  expect(help).toBeInstanceOf(HelpRequested);
  expect(String(help)).toContain('--customer-cloud-port');
});

test.each([
  [['--color'], /'--color'[\s\S]*--port N/],
  [['extra'], /'extra'[\s\S]*--port N/],
  [['--port', '65536'], /--port must be a whole number from 0 to 65535, not "65536"/],
  [['--latency', '1.5'], /--latency must be a whole number from 0 to 600000/],
  [['--lifetime', '0'], /--lifetime must be a whole number from 1 /],
  [['--max-rps', 'many'], /--max-rps must be a whole number/],
  [['--mode', 'both'], /--mode must be one of overlap, replace, not "both"/],
  [['--fault', 'fire'], /--fault must be one of none, http-500/],
  [['--customer-cloud-port', ''], /--customer-cloud-port must be a whole number/],
  [['--app-key', 'c'], /'--app-key'/],
])('refuses %j and lists the allowed values', async (args, message) => {
  const error = await run(args).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UsageError);
  expect(error).toHaveProperty('message', expect.stringMatching(message));
});

test.each([
  [{ VENDOR_APP_ID: 'a' }, /VENDOR_APP_TOKEN is required: .*\n.* VENDOR_APP_KEY is required: .*$/],
  [{ VENDOR_APPS: '{"ios":{"appId":"secret-text"}}' }, /VENDOR_APPS must be a JSON object of 1 to 64 apps/],
  [
    { ...APP_ENV, VENDOR_APPS: '{"ios":{"appId":"a","appToken":"b","appKey":"c"}}' },
    /VENDOR_APPS replaces VENDOR_APP_ID/,
  ],
])('refuses apps that the broker would refuse, and says why: %j', async (env, message) => {
  const error = await run([], env).catch((thrown: unknown) => thrown);
  expect(error).toHaveProperty('message', expect.stringMatching(message));
  expect(String(error)).not.toContain('secret-text');
});

test('names the port that is in use, and leaves nothing running', async () => {
  const taken = await startVendorSimulator();
  const inUse = `address already in use 127.0.0.1:${taken.port}`;
  await expect(run(['--port', `${taken.port}`])).rejects.toThrow(inUse);
  const free = await startVendorSimulator();
  await free.close();
  const args = ['--port', `${free.port}`, '--customer-cloud-port', `${taken.port}`];
  await expect(run(args)).rejects.toThrow(inUse);
  await expect(fetch(`http://127.0.0.1:${free.port}`)).rejects.toThrow();
  await taken.close();
});
