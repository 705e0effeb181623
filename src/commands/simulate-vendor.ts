import { loadVendorConfig } from '../config/config.ts';
import type { Environment } from '../config/environment.ts';
import { type CustomerCloud, startCustomerCloud } from '../simulator/customer-cloud.ts';
import type { RegisteredApp } from '../simulator/login-verifier.ts';
import { FAULTS, RULES, type Rule, wholeNumber } from '../simulator/vendor-settings.ts';
import { DEMO_APP, startVendorSimulator, type VendorSimulator } from '../simulator/vendor-simulator.ts';
import { type CommandContext, closeOnSignal, parseFlags, UsageError } from './command-line.ts';

const FLAGS = {
  port: { type: 'string', default: '8081' },
  host: { type: 'string', default: '127.0.0.1' },
  latency: { type: 'string', default: '0' },
  lifetime: { type: 'string', default: '2592000' },
  mode: { type: 'string', default: 'overlap' },
  'max-rps': { type: 'string', default: '0' },
  fault: { type: 'string', default: 'none' },
  'customer-cloud-port': { type: 'string' },
} as const;

const PORTS = wholeNumber(0, 65_535);

const HELP = `sdk-token-broker simulate-vendor [options]

Runs a simulated camera vendor. It checks the signature of every login and answers like the vendor.

  --port N                 port; 0: any free port (default 8081)
  --host ADDRESS           address to listen on (default 127.0.0.1)
  --latency MS             delay of each answer to a login (default 0)
  --lifetime SECONDS       lifetime of a token (default 2592000, 30 days)
  --mode MODE              what a second login of a terminal does to its first token:
                             overlap  the token stays valid until it expires (default)
                             replace  the token becomes invalid at once
  --max-rps N              logins per second, above which it answers 10015; 0: no limit (default 0)
  --fault NAME             the error that every login gets (default none):
                             ${FAULTS.slice(0, 7).join(' ')}
                             ${FAULTS.slice(7).join(' ')}
  --customer-cloud-port N  also run a customer cloud on this port, which issues sessions
  -h, --help

The apps that may log in are those of VENDOR_APPS, or that of VENDOR_APP_ID, VENDOR_APP_TOKEN and VENDOR_APP_KEY, as in
the settings of the broker. Without them, it is a demo app.`;

/** The `simulate-vendor` command. It runs until a signal ends it. @throws UsageError, HelpRequested, ConfigError */
export async function simulateVendor(args: readonly string[], context: CommandContext): Promise<void> {
  const { close } = await startSimulators(args, context);
  closeOnSignal(close);
}

/** @throws UsageError, HelpRequested, ConfigError */
export async function startSimulators(
  args: readonly string[],
  { env, out }: Pick<CommandContext, 'env' | 'out'>,
): Promise<{ close(): Promise<void> }> {
  const flags = parseFlags(args, FLAGS, HELP);
  const { host, 'customer-cloud-port': cloudPort } = flags;
  const apps = readApps(env);
  const vendorOptions = {
    host,
    port: flagValue('port', flags.port, PORTS),
    latencyMs: flagValue('latency', flags.latency, RULES.latencyMs),
    tokenLifetimeSeconds: flagValue('lifetime', flags.lifetime, RULES.tokenLifetimeSeconds),
    mode: flagValue('mode', flags.mode, RULES.mode),
    maxLoginsPerSecond: flagValue('max-rps', flags['max-rps'], RULES.maxLoginsPerSecond),
    fault: flagValue('fault', flags.fault, RULES.fault),
    apps: [...apps.values()],
  };
  const cloudOptions =
    cloudPort === undefined ? undefined : { host, port: flagValue('customer-cloud-port', cloudPort, PORTS) };

  const vendor = await startVendorSimulator(vendorOptions);
  out(vendorBanner(vendor, apps));
  if (cloudOptions === undefined) return vendor;
  const cloud = await startCustomerCloud(cloudOptions).catch(async (error: unknown) => {
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

type Apps = ReadonlyMap<string, RegisteredApp>;

const DEMO_APPS: Apps = new Map([['default', DEMO_APP]]);

/** By name, by the broker's rules, from the environment: everyone on the machine sees flags. @throws ConfigError */
function readApps(env: Environment): Apps {
  const settings = Object.entries(env).filter(([name, value]) => value && /^VENDOR_(APP|ACCESS_ID)/.test(name));
  if (!settings.some(([name]) => name.startsWith('VENDOR_APP'))) return DEMO_APPS;
  // The apps are read together with an address, which the simulator does not need.
  return loadVendorConfig({ VENDOR_BASE_URL: 'http://simulator', ...Object.fromEntries(settings) }).apps;
}

function flagValue<Value>(flag: string, text: string, rule: Rule<Value>): Value {
  const read = rule.safeParse(/^\d{1,15}$/.test(text) ? Number(text) : text);
  if (read.success) return read.data;
  throw new UsageError(`--${flag} ${read.error.issues[0]?.message}, not ${JSON.stringify(text)}`);
}

function vendorBanner(vendor: VendorSimulator, apps: Apps): string {
  // The token and the key of a real app are secret, and its other settings are known.
  const settings = apps === DEMO_APPS ? vendor.brokerEnvironment : { VENDOR_BASE_URL: vendor.url };
  return table('Vendor simulator', vendor.url, [
    ['apps', [...apps].map(([name, { appId }]) => `${name} (appId ${appId})`).join(', ')],
    ...settingsRows(Object.entries(settings)),
    ['control', 'GET  /simulator/state'],
    ['', 'POST /simulator/configure    {"fault":"http-500","faultCount":3}'],
    ['', 'POST /simulator/check-token  {"accessToken":"…"}'],
  ]);
}

function cloudBanner(cloud: CustomerCloud): string {
  return table('Customer cloud', cloud.url, [
    ['log in', 'POST /login                  {"account":"alice","region":"DE"}'],
    ['', 'The answer has the session, and the unionId under which the broker knows the account.'],
    ...settingsRows(Object.entries(cloud.brokerEnvironment)),
  ]);
}

type Row = readonly [label: string, value: string];

function settingsRows(settings: readonly Row[]): Row[] {
  return settings.map(([name, value], index) => [index === 0 ? 'broker settings' : '', `${name}=${value}`]);
}

function table(title: string, address: string, rows: readonly Row[]): string {
  return [`${title.padEnd(20)}${address}`, ...rows.map(([label, value]) => `  ${label.padEnd(18)}${value}`)].join('\n');
}
