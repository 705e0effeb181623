import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { startProgram } from './child-process.ts';
import { readFile } from './documents.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { newFolder } from './new-folder.ts';
import { systemBinary } from './system-binary.ts';

interface Alert {
  readonly state: 'pending' | 'firing';
  readonly labels: Readonly<Record<string, string>>;
}

/** The data in an answer of the HTTP API: `alerts` for the alerts, `result` for a query. */
interface Answer {
  readonly alerts: readonly Alert[];
  readonly result: readonly unknown[];
}

export interface PrometheusServer {
  /** The active alerts. */
  alerts(): Promise<readonly Alert[]>;
  /** @returns the number of series in the result of an instant query */
  seriesOf(query: string): Promise<number>;
}

/** Shortens each duration of a rule in minutes or hours, for example `[5m]` and `for: 5m`. @param factor a divisor of 60 */
function fasterRules(rules: string, factor: number): string {
  const seconds = (minutes: string) => `${(Number(minutes) * 60) / factor}s`;
  return rules
    .replaceAll(/\[(\d+)[mh](?=:?\])/g, (_, minutes) => `[${seconds(minutes)}`)
    .replaceAll(/for: (\d+)m/g, (_, minutes) => `for: ${seconds(minutes)}`);
}

/**
 * Starts a real Prometheus that scrapes `targets`, with the alerting rules at `factor` times their speed. It
 * ends with the test.
 */
export async function startPrometheus(targets: readonly string[], factor: number): Promise<PrometheusServer> {
  const folder = newFolder();
  writeFileSync(
    join(folder, 'rules.yml'),
    fasterRules(readFile('deploy/helm/sdk-token-broker/files/rules.yml'), factor),
  );
  const config = parse(readFile('deploy/prometheus/prometheus.yml'));
  // The timeout is as long as the interval, so that a slow replica does not count as one that is down.
  config.global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '500ms' };
  config.scrape_configs[0].static_configs = [{ targets }];
  writeFileSync(join(folder, 'prometheus.yml'), stringify(config));
  const port = await freePort();
  const program = systemBinary({ program: 'prometheus', need: 'The test of the alerts needs a real Prometheus' });
  const { log, stop } = startProgram([
    program,
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  endWithTest(stop);
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    const { data, error } = (await response.json()) as { data: Answer; error?: string };
    if (error !== undefined) throw new Error(`Prometheus: ${error}`);
    return data;
  };
  const isReady = async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok;
  await eventually(isReady).catch((cause) => {
    throw new Error(`Prometheus does not serve:\n${log().join('\n')}`, { cause });
  });
  return {
    alerts: async () => (await ask('/api/v1/alerts')).alerts,
    seriesOf: async (query) => (await ask(`/api/v1/query?query=${encodeURIComponent(query)}`)).result.length,
  };
}
