import type { HttpVendorLoginOptions } from '../vendor-api/login.ts';
import type { VendorApp } from '../vendor-api/signed-call.ts';
import { type Problems, required } from './environment.ts';
import type { Values } from './variables.ts';

/** The vendor's domains, the apps (at least one), the timeout of an attempt and the login budget. */
export type VendorConfig = Pick<
  HttpVendorLoginOptions,
  'baseUrl' | 'regionUrls' | 'apps' | 'timeoutMs' | 'maxPerSecond'
>;

const SINGLE_APP = ['VENDOR_APP_ID', 'VENDOR_APP_TOKEN', 'VENDOR_APP_KEY'] as const;

/** @returns `undefined` if a required setting is missing or not valid; `problems` then names it */
export function readVendorConfig(values: Values, problems: Problems): VendorConfig | undefined {
  const base = required(values, ['VENDOR_BASE_URL'], problems);
  const apps = readApps(values, problems);
  if (!base || !apps) return undefined;
  return {
    baseUrl: base.VENDOR_BASE_URL,
    regionUrls: new Map(Object.entries(values.VENDOR_REGION_URLS)),
    apps: new Map(apps.map((app) => [app.name, app])),
    timeoutMs: values.VENDOR_TIMEOUT_MS,
    maxPerSecond: values.VENDOR_MAX_RPS,
  };
}

function readApps(values: Values, problems: Problems): VendorApp[] | undefined {
  const apps = values.VENDOR_APPS;
  if (problems.has('VENDOR_APPS')) return undefined;
  if (!apps) return readSingleApp(values, problems);
  const excluded = [...SINGLE_APP, 'VENDOR_ACCESS_ID' as const].filter((name) => values[name] !== undefined);
  if (excluded.length > 0) {
    problems.set('VENDOR_APPS', `VENDOR_APPS replaces ${excluded.join(', ')}: set one or the other`);
  }
  return Object.entries(apps).map(([name, app]) => ({ ...app, name, accessId: app.accessId ?? app.appId }));
}

function readSingleApp(values: Values, problems: Problems): VendorApp[] | undefined {
  const app = required(values, SINGLE_APP, problems);
  if (!app) return undefined;
  const { VENDOR_APP_ID: appId, VENDOR_APP_TOKEN: appToken, VENDOR_APP_KEY: appKey } = app;
  return [{ name: 'default', appId, appToken, appKey, accessId: values.VENDOR_ACCESS_ID ?? appId }];
}
