import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import type * as Package from '../../clients/javascript/src/index.js';
import { REPOSITORY } from '../../docs/site/documents.ts';

/** Packs the client, and installs it in a new folder without a network, as an app does. */
export function installPackage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'javascript-app-'));
  const npm = (cwd: string, ...args: string[]) => execFileSync('npm', args, { cwd, encoding: 'utf8' });
  const packed = npm(join(REPOSITORY, 'clients/javascript'), 'pack', '--silent', '--pack-destination', folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  npm(folder, 'install', '--offline', '--no-audit', '--no-fund', `./${packed.trim()}`);
  return folder;
}

const filesOf = (app: string) => join(app, 'node_modules/sdk-token-client/dist/esm');

/** The part of the app that the tests play. A session source throws an error with the name of the one that it means. */
interface AppParts {
  session(): string | Promise<string>;
  renewedSession(refused: string): string | Promise<string>;
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  remove(key: string): void;
}

type Options = Omit<Package.SdkTokenClientOptions, 'sessions' | 'storage'>;
/** Makes a client with the installed package, where the app of this runtime runs. */
export type OpenClient = (options: Options, parts: AppParts) => Promise<Package.TokenClient>;

/** In this process. */
export async function inNode(app: string): Promise<OpenClient> {
  const { SdkTokenClient, NoSession } = await import(pathToFileURL(join(filesOf(app), 'index.js')).href);
  return async (options, parts) => {
    const asked = async (ask: () => string | Promise<string>) => {
      try {
        return await ask();
      } catch (error) {
        throw error instanceof Error && error.name === 'NoSession' ? new NoSession() : error;
      }
    };
    const sessions = {
      session: () => asked(() => parts.session()),
      renewedSession: (refused: string) => asked(() => parts.renewedSession(refused)),
    };
    return new SdkTokenClient({ ...options, sessions, storage: parts });
  };
}

export const PAGE = `<script type="module">
  import * as sdkTokenClient from '/client/index.js';
  Object.assign(globalThis, { sdkTokenClient });
</script>`;

/** In {@link PAGE}, which the broker's own origin has to serve, with the files of the package below `/client/`. */
export async function inPage(page: Page): Promise<OpenClient> {
  const apps: AppParts[] = [];
  await page.exposeFunction('askApp', async (id: number, name: keyof AppParts, args: [string, string]) => {
    try {
      const ask = apps[id]?.[name] as ((...args: string[]) => unknown) | undefined;
      return { value: await ask?.(...args) };
    } catch (error) {
      return { error: error instanceof Error ? error.name : `${error}` };
    }
  });
  return async (options, parts) => {
    const id = apps.push(parts) - 1;
    const call = async (method: string, ...args: unknown[]) => {
      const { value, error } = await page.evaluate(callClient, { id, options, method, args });
      if (error) throw Object.assign(new Error(error.message), error);
      return value;
    };
    await call('constructor');
    return {
      sdkToken: (userId) => call('sdkToken', userId),
      tokenWasRefused: () => call('tokenWasRefused'),
      useToken: (...args) => call('useToken', ...args),
      logout: () => call('logout'),
    };
  };
}

/** Runs in the page. */
async function callClient({
  id,
  options,
  method,
  args,
}: {
  id: number;
  options: Options;
  method: string;
  args: unknown[];
}) {
  // biome-ignore lint/suspicious/noExplicitAny: the globals of the page
  const world = globalThis as any;
  world.clients ??= [];
  try {
    const { SdkTokenClient, NoSession } = world.sdkTokenClient as typeof Package;
    const ask = async (name: string, ...args: unknown[]) => {
      const { value, error } = await world.askApp(id, name, args);
      if (error)
        throw error === 'NoSession' ? new NoSession() : error === 'TypeError' ? new TypeError() : new Error(error);
      return value;
    };
    const sessions = {
      session: () => ask('session'),
      renewedSession: (refused: string) => ask('renewedSession', refused),
    };
    const storage = {
      get: (key: string) => ask('get', key),
      set: (key: string, value: string) => ask('set', key, value),
      remove: (key: string) => ask('remove', key),
    };
    if (method === 'constructor') world.clients[id] = new SdkTokenClient({ ...options, sessions, storage });
    return { value: method === 'constructor' ? undefined : await world.clients[id][method](...args) };
  } catch (error) {
    const { name, message, kind, code, details } = error as Package.BrokerError;
    return { error: { name, message, kind, code, details: details && { ...details, cause: undefined } } };
  }
}

export const servedFile = (app: string, name: string) => readFileSync(join(filesOf(app), name));
