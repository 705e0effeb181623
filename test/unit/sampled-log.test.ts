import { describe, expect, test } from 'vitest';
import { LogSampler } from '../../src/http/refusal-log.ts';
import { sampledLog } from '../../src/service.ts';
import { captureLog } from '../support/captured-log.ts';
import { TestClock } from '../support/test-clock.ts';

const UNREACHABLE = 'vendor cannot be reached';

function createLog() {
  const { logger, lines } = captureLog('info');
  const clock = new TestClock();
  const sampler = new LogSampler(1_000, clock);
  return { clock, log: sampledLog(logger, sampler), lines, endInterval: () => sampler.end() };
}

describe('the log of an outage', () => {
  test('has a line for each host, role and node at once, and the number of further ones', () => {
    const { log, lines, endInterval } = createLog();
    const facts = [{ host: 'cn' }, { host: 'eu' }, { role: 'commands' }, { role: 'commands', node: 'one' }];
    for (let round = 0; round < 3; round += 1) for (const fields of facts) log.warn(fields, UNREACHABLE);
    expect(lines()).toMatchObject(facts);
    endInterval();
    expect(lines().slice(facts.length)).toMatchObject(facts.map((fields) => ({ ...fields, omitted: 1 })));
  });

  test('has the time of the event in a line that was written late', () => {
    const { clock, log, lines, endInterval } = createLog();
    log.warn({ host: 'cn' }, UNREACHABLE);
    clock.advance(3_000);
    const happenedAt = new Date(clock.now()).toISOString();
    log.warn({ host: 'cn', kind: 'timeout' }, UNREACHABLE);
    clock.advance(7_000);
    endInterval();
    const [first, late] = lines();
    expect(first).not.toHaveProperty('happenedAt');
    expect(late).toMatchObject({ kind: 'timeout', happenedAt });
  });

  test('has few lines about a connection that comes and goes, and every other line at info', () => {
    const { log, lines, endInterval } = createLog();
    for (let round = 0; round < 10; round += 1) log.info({ role: 'commands' }, 'connected to Redis');
    for (const finding of ['vendor_down', 'vendor_slow']) log.info({ finding }, 'a finding is over');
    endInterval();
    expect(lines()).toMatchObject([
      { role: 'commands' },
      { finding: 'vendor_down' },
      { finding: 'vendor_slow' },
      { role: 'commands', omitted: 8 },
    ]);
  });

  test('has the first and the last change of a circuit that opens and closes again and again, for each domain', () => {
    const { log, lines, endInterval } = createLog();
    const hosts = ['cn', 'eu', 'us'];
    for (const circuitState of ['open', 'closed', 'open', 'closed']) {
      for (const host of hosts)
        log.warn({ host, circuitState }, 'circuit breaker of a vendor domain changed its state');
    }
    endInterval();
    expect(lines()).toMatchObject([
      ...hosts.map((host) => ({ host, circuitState: 'open' })),
      ...hosts.map((host) => ({ host, circuitState: 'closed', omitted: 2 })),
    ]);
  });
});
