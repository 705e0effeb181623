import type { Environment } from '../config/environment.ts';
import { type CustomerCloud, startCustomerCloud } from '../simulator/customer-cloud.ts';
import type { VendorApp } from '../simulator/request-verification.ts';
import { DEMO_APP, startVendorSimulator, type VendorSimulator } from '../simulator/vendor-simulator.ts';
import { readSimulateVendorFlags, SIMULATE_VENDOR_HELP } from './simulate-vendor-flags.ts';
import { UsageError } from './usage-error.ts';

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

function vendorBanner(vendor: VendorSimulator, app: VendorApp): string {
  const { mode, tokenLifetimeSeconds, latencyMs, maxLoginsPerSecond, fault } = vendor.state().settings;
  return table('Vendor simulator', vendor.url, [
    ['mode', mode],
    ['lifetime', `${tokenLifetimeSeconds} s`],
    ['latency', `${latencyMs} ms`],
    ['limit', maxLoginsPerSecond === 0 ? 'none' : `${maxLoginsPerSecond} logins/s`],
    ['fault', fault],
    ['configure', `VENDOR_BASE_URL=${vendor.url}`],
    ['', `VENDOR_APP_ID=${app.appId}`],
    ...(app === DEMO_APP ? demoSecrets() : []),
    ['control', 'GET  /simulator/state'],
    ['', 'POST /simulator/configure    {"fault":"http-500","faultCount":3}'],
    ['', 'POST /simulator/check-token  {"accessToken":"…"}'],
  ]);
}

/** A real app's token and key stay out of the terminal; the demo app's stand in the source. */
function demoSecrets(): [string, string][] {
  return [
    ['', `VENDOR_APP_TOKEN=${DEMO_APP.appToken}`],
    ['', `VENDOR_APP_KEY=${DEMO_APP.appKey}`],
  ];
}

function cloudBanner(cloud: CustomerCloud): string {
  return table('Customer cloud', cloud.url, [
    ['log in', 'POST /login                  {"account":"alice","region":"DE"}'],
    ['configure', `SESSION_JWT_JWKS_URL=${cloud.jwksUrl}`],
    ['', `SESSION_JWT_ISSUER=${cloud.issuer}`],
    ['', `SESSION_JWT_AUDIENCE=${cloud.audience}`],
  ]);
}

function table(title: string, address: string, rows: readonly (readonly [string, string])[]): string {
  return [`${title.padEnd(20)}${address}`, ...rows.map(([name, value]) => `  ${name.padEnd(18)}${value}`)].join('\n');
}
