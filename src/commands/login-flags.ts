import type { VendorConfig } from '../config/vendor-config.ts';
import { REGION_PATTERN, type Subject, UNIQUE_ID_PATTERN } from '../token/subject.ts';
import type { VendorApp } from '../vendor-api/signed-call.ts';
import { UsageError } from './terminal.ts';

/** For `parseArgs`: whose login it is. */
export const LOGIN_OPTIONS = {
  'union-id': { type: 'string' },
  'unique-id': { type: 'string' },
  region: { type: 'string' },
  app: { type: 'string' },
} as const;

export type LoginFlags = Readonly<Partial<Record<keyof typeof LOGIN_OPTIONS, string>>>;

/** A login as the command line names it, at the domain its country belongs to. */
export interface ChosenLogin {
  readonly domain: URL;
  readonly app: VendorApp;
  readonly subject: Subject;
  readonly region: string;
}

/** @returns a function that finds domain and app in the configuration; it too throws UsageError. @throws UsageError */
export function readLogin(flags: LoginFlags, help: string): (vendor: VendorConfig) => ChosenLogin {
  const { 'union-id': unionId, 'unique-id': uniqueId = '', region = '' } = flags;
  if (!unionId) throw new UsageError(`--union-id is required\n\n${help}`);
  if (!UNIQUE_ID_PATTERN.test(uniqueId)) throw new UsageError('--unique-id must be 1 to 128 visible ASCII characters');
  if (!REGION_PATTERN.test(region)) throw new UsageError('--region must be two capital letters (ISO 3166-1), like CN');
  return ({ apps, baseUrl, regionUrls }) => {
    const name = flags.app ?? [...apps.keys()][0] ?? '';
    const app = apps.get(name);
    if (!app) throw new UsageError(`--app must be one of ${[...apps.keys()].join(', ')}`);
    const domain = regionUrls.get(region) ?? baseUrl;
    return { domain, app, subject: { app: name, unionId, uniqueId }, region };
  };
}
