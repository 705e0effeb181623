import { parseArgs } from 'node:util';
import type { Environment } from '../config/environment.ts';
import { type CustomerCloud, startCustomerCloud } from '../simulator/customer-cloud.ts';
import type { RegisteredApp } from '../simulator/login-verifier.ts';
import { FAULTS, MODES, SETTING_BOUNDS } from '../simulator/vendor-settings.ts';
import {
  DEMO_APP,
  startVendorSimulator,
  type VendorSimulator,
  type VendorSimulatorOptions,
} from '../simulator/vendor-simulator.ts';
import { UsageError } from './terminal.ts';

const FLAGS = {
  port: { type: 'string', default: '8081' },
  host: { type: 'string', default: '127.0.0.1' },
  latency: { type: 'string', default: '0' },
  lifetime: { type: 'string', default: '2592000' },
  mode: { type: 'string', default: 'overlap' },
  'max-rps': { type: 'string', default: '0' },
  fault: { type: 'string', default: 'none' },
  'app-id': { type: 'string' },
  'app-token': { type: 'string' },
  'app-key': { type: 'string' },
  'customer-cloud-port': { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const PORTS = [0, 65_535] as const;

const SIMULATE_VENDOR_HELP = `sdk-token-broker simulate-vendor [flags]

Plays the camera vendor: checks the signature of every login, answers as the vendor would.

  --port N                 where to listen; 0: any free port (8081)
  --host ADDRESS           (127.0.0.1)
  --latency MS             between a login and its answer (0)
  --lifetime SECONDS       how long a token lives (2592000, 30 days)
  --mode MODE              what a terminal's next login does to its token (overlap)
                             overlap  it lives on until it expires
                             replace  it dies at once
  --max-rps N              logins a second before 10015; 0: no limit (0)
  --fault NAME             what befalls every login (none):
                             ${FAULTS.slice(0, 7).join(' ')}
                             ${FAULTS.slice(7).join(' ')}
  --app-id ID              the app it knows: all three, or VENDOR_APP_ID, VENDOR_APP_TOKEN and
  --app-token TOKEN        VENDOR_APP_KEY from the environment, or none for a demo app
  --app-key KEY
  --customer-cloud-port N  also play a customer cloud that gives out sessions, there
  -h, --help`;

export interface SimulateVendorOptions {
  readonly vendor: VendorSimulatorOptions & { readonly apps: readonly [RegisteredApp] };
  readonly customerCloud: { readonly host: string; readonly port: number } | undefined;
}

/**
 * @returns `'help'` where help was asked for
 * @throws UsageError
 */
function readSimulateVendorFlags(args: readonly string[], env: Environment): SimulateVendorOptions | 'help' {
  const flags = parse(args);
  if (flags.help) return 'help';
  const { host } = flags;
  const cloudPort = flags['customer-cloud-port'];
  return {
    vendor: {
      host,
      port: wholeNumber('port', flags.port, PORTS),
      latencyMs: wholeNumber('latency', flags.latency, SETTING_BOUNDS.latencyMs),
      tokenLifetimeSeconds: wholeNumber('lifetime', flags.lifetime, SETTING_BOUNDS.tokenLifetimeSeconds),
      mode: oneOf('mode', flags.mode, MODES),
      maxLoginsPerSecond: wholeNumber('max-rps', flags['max-rps'], SETTING_BOUNDS.maxLoginsPerSecond),
      fault: oneOf('fault', flags.fault, FAULTS),
      apps: [readApp(flags, env)],
    },
    customerCloud:
      cloudPort === undefined ? undefined : { host, port: wholeNumber('customer-cloud-port', cloudPort, PORTS) },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, strict: true }).values;
  } catch (error) {
    const [problem] = error instanceof Error ? error.message.split(/\. |\n/) : [];
    const allowed = Object.keys(FLAGS).map((name) => `--${name}`);
    throw new UsageError(`${problem}. Allowed: ${allowed.join(', ')}`, { cause: error });
  }
}

function readApp(flags: Partial<Record<'app-id' | 'app-token' | 'app-key', string>>, env: Environment): RegisteredApp {
  const given = {
    '--app-id or VENDOR_APP_ID': flags['app-id'] ?? env['VENDOR_APP_ID'],
    '--app-token or VENDOR_APP_TOKEN': flags['app-token'] ?? env['VENDOR_APP_TOKEN'],
    '--app-key or VENDOR_APP_KEY': flags['app-key'] ?? env['VENDOR_APP_KEY'],
  };
  const [appId, appToken, appKey] = Object.values(given);
  const accessId = env['VENDOR_ACCESS_ID'];
  if (appId && appToken && appKey) return { appId, appToken, appKey, ...(accessId && { accessId }) };
  if (!appId && !appToken && !appKey) return DEMO_APP;
  const missing = Object.entries(given).filter(([, value]) => !value);
  throw new UsageError(
    `The app is incomplete, ${missing.map(([name]) => name).join(' and ')} is missing. ` +
      'Give its id, token and key, or none of them for a demo app',
  );
}

function wholeNumber(flag: string, text: string, [lowest, highest]: readonly [number, number]): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= lowest && value <= highest) return value;
  throw new UsageError(`--${flag} must be a whole number from ${lowest} to ${highest}, not ${JSON.stringify(text)}`);
}

function oneOf<T extends string>(flag: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  throw new UsageError(`--${flag} must be one of ${allowed.join(', ')}, not ${JSON.stringify(text)}`);
}

/**
 * The `simulate-vendor` command.
 * @param out takes one line, or several, of output
 * @returns what is to be closed at the end; after `--help` nothing runs
 * @throws UsageError
 */
export async function simulateVendor(
  args: readonly string[],
  env: Environment,
  out: (line: string) => void,
): Promise<{ close(): Promise<void> }> {
  const options = readSimulateVendorFlags(args, env);
  if (options === 'help') {
    out(SIMULATE_VENDOR_HELP);
    return { close: async () => {} };
  }
  const vendor = await startVendorSimulator(options.vendor).catch(explainPort('--port'));
  out(vendorBanner(vendor, options.vendor.apps[0]));
  if (options.customerCloud === undefined) return vendor;

  const cloud = await startCustomerCloud(options.customerCloud)
    .catch(explainPort('--customer-cloud-port'))
    .catch(async (error: unknown) => {
      await vendor.close();
      throw error;
    });
  out(cloudBanner(cloud));
  return {
    close: async () => {
      await Promise.all([vendor.close(), cloud.close()]);
    },
  };
}

/** The address may be taken, forbidden or not ours: what the system said, and the flags that mend it. */
function explainPort(flag: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new UsageError(`Cannot listen: ${error.message}. Choose another address with ${flag} or --host`, {
      cause: error,
    });
  };
}

function vendorBanner(vendor: VendorSimulator, app: RegisteredApp): string {
  // Do not print the token and the key of a real app.
  const settings = Object.entries(vendor.brokerEnvironment).filter(
    ([name]) => app === DEMO_APP || !/_(TOKEN|KEY)$/.test(name),
  );
  const { mode, tokenLifetimeSeconds, latencyMs, maxLoginsPerSecond, fault } = vendor.state().settings;
  return table('Vendor simulator', vendor.url, [
    ['mode', mode],
    ['lifetime', `${tokenLifetimeSeconds} s`],
    ['latency', `${latencyMs} ms`],
    ['limit', maxLoginsPerSecond === 0 ? 'none' : `${maxLoginsPerSecond} logins/s`],
    ['fault', fault],
    ...settingsRows(settings),
    ['control', 'GET  /simulator/state'],
    ['', 'POST /simulator/configure    {"fault":"http-500","faultCount":3}'],
    ['', 'POST /simulator/check-token  {"accessToken":"…"}'],
  ]);
}

function cloudBanner(cloud: CustomerCloud): string {
  return table('Customer cloud', cloud.url, [
    ['log in', 'POST /login                  {"account":"alice","region":"DE"}'],
    ...settingsRows(Object.entries(cloud.brokerEnvironment)),
  ]);
}

function settingsRows(settings: readonly (readonly [string, string])[]): [string, string][] {
  return settings.map(([name, value], index) => [index === 0 ? 'configure' : '', `${name}=${value}`]);
}

function table(title: string, address: string, rows: readonly (readonly [string, string])[]): string {
  return [`${title.padEnd(20)}${address}`, ...rows.map(([name, value]) => `  ${name.padEnd(18)}${value}`)].join('\n');
}
