import { freePort } from '../../../test/support/free-port.ts';
import { LOAD_CORE } from './cores.ts';
import { startServer } from './server.ts';

const STATE = '/simulator/state';

export interface BenchVendor {
  readonly url: string;
  /** How many logins took effect so far. */
  logins(): Promise<number>;
  stop(): Promise<void>;
}

/** The vendor simulator on the core of the load. @param latencyMs between a login and its answer */
export async function startBenchVendor(latencyMs: number): Promise<BenchVendor> {
  const port = await freePort();
  const args = ['dist/main.js', 'simulate-vendor', '--port', `${port}`, '--latency', `${latencyMs}`];
  const { url, stop } = await startServer({ args, port, env: {}, cores: LOAD_CORE, readyPath: STATE });
  return {
    url,
    async logins() {
      const answer = await fetch(url + STATE);
      return ((await answer.json()) as { succeeded: number }).succeeded;
    },
    stop,
  };
}
