import { type Problems, required } from './environment.ts';
import type { Values } from './variables.ts';

export interface VendorConfig {
  readonly baseUrl: URL;
  /** Other domains by country. */
  readonly regionUrls: ReadonlyMap<string, URL>;
  /** By name, at least one. */
  readonly apps: ReadonlyMap<string, VendorAppConfig>;
  readonly timeoutMs: number;
  /** Logins per second over all replicas; 0: no limit. */
  readonly maxPerSecond: number;
}

interface VendorAppConfig {
  readonly name: string;
  readonly appId: string;
  readonly appToken: string;
  readonly appKey: string;
  readonly accessId: string;
}

const ONE_APP = ['VENDOR_APP_ID', 'VENDOR_APP_TOKEN', 'VENDOR_APP_KEY'] as const;

/** The vendor and the apps it knows; `undefined` where `problems` says what is missing. */
export function vendorOf(values: Values, problems: Problems): VendorConfig | undefined {
  const base = required(values, ['VENDOR_BASE_URL'], problems);
  const apps = appsOf(values, problems);
  if (!base || !apps) return undefined;
  return {
    baseUrl: base.VENDOR_BASE_URL,
    regionUrls: new Map(Object.entries(values.VENDOR_REGION_URLS)),
    apps: new Map(apps.map((app) => [app.name, app])),
    timeoutMs: values.VENDOR_TIMEOUT_MS,
    maxPerSecond: values.VENDOR_MAX_RPS,
  };
}

function appsOf(values: Values, problems: Problems): VendorAppConfig[] | undefined {
  const several = values.VENDOR_APPS;
  if (problems.has('VENDOR_APPS')) return undefined;
  if (!several) return theOnlyApp(values, problems);
  const alone = [...ONE_APP, 'VENDOR_ACCESS_ID' as const].filter((name) => values[name] !== undefined);
  if (alone.length > 0) {
    problems.set('VENDOR_APPS', `VENDOR_APPS stands in place of ${alone.join(', ')}: set one or the other`);
  }
  return Object.entries(several).map(([name, app]) => ({ ...app, name, accessId: app.accessId ?? app.appId }));
}

function theOnlyApp(values: Values, problems: Problems): VendorAppConfig[] | undefined {
  const app = required(values, ONE_APP, problems);
  if (!app) return undefined;
  const { VENDOR_APP_ID: appId, VENDOR_APP_TOKEN: appToken, VENDOR_APP_KEY: appKey } = app;
  return [{ name: 'default', appId, appToken, appKey, accessId: values.VENDOR_ACCESS_ID ?? appId }];
}
