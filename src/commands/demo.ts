import { loadConfig } from '../config/config.ts';
import { createLogger } from '../logger.ts';
import { type Service, startService } from '../service.ts';
import { type CustomerCloud, startCustomerCloud } from '../simulator/customer-cloud.ts';
import { startVendorSimulator, type VendorSimulator } from '../simulator/vendor-simulator.ts';
import { closeOnSignal } from './close-on-signal.ts';
import { DemoScreen } from './demo-screen.ts';
import { tellStory } from './demo-story.ts';
import { type Terminal, UsageError } from './terminal.ts';

const TOKEN_LIFETIME_SECONDS = 14;
const VENDOR_LATENCY_MS = 120;
const USUAL_PORT = 8080;

/** The `demo` command: vendor, customer cloud and broker on loopback, the whole flow between them, then it serves on. */
export async function demo(args: readonly string[], terminal: Terminal): Promise<void> {
  if (args.length > 0) throw new UsageError('demo takes no arguments: it needs no configuration');
  const vendor = await startVendorSimulator({
    tokenLifetimeSeconds: TOKEN_LIFETIME_SECONDS,
    latencyMs: VENDOR_LATENCY_MS,
  });
  const cloud = await startCustomerCloud();
  const broker = await startBroker(vendor, cloud, terminal.version);
  const screen = new DemoScreen(terminal);
  const ended = new AbortController();
  closeOnSignal(async () => {
    ended.abort();
    screen.goodbye();
    await broker.close();
    await Promise.all([vendor.close(), cloud.close()]);
  });
  await tellStory({ vendor, cloud, broker }, screen, TOKEN_LIFETIME_SECONDS, ended.signal);
}

/** On the usual port where that is free, so that the printed addresses look as they do in the documents. */
async function startBroker(vendor: VendorSimulator, cloud: CustomerCloud, version: string): Promise<Service> {
  const start = (port: number): Promise<Service> => {
    const config = loadConfig({
      HOST: '127.0.0.1',
      PORT: String(port),
      ADMIN_PORT: '0',
      ...vendor.brokerEnvironment,
      ...cloud.brokerEnvironment,
    });
    return startService(config, createLogger('error'), version);
  };
  try {
    return await start(USUAL_PORT);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return start(0);
    throw error;
  }
}
