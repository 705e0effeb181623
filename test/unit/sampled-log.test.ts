import { describe, expect, test } from 'vitest';
import { LogSampler } from '../../src/http/refusal-log.ts';
import { sampledLog } from '../../src/service.ts';
import { captureLog } from '../support/captured-log.ts';
import { TestClock } from '../support/test-clock.ts';

const UNREACHABLE = 'vendor cannot be reached';

function createLog() {
  const { logger, lines } = captureLog('info');
  const clock = new TestClock();
  const sampler = new LogSampler<string>(1_000, clock);
  return { clock, log: sampledLog(logger, sampler), lines, endInterval: () => sampler.flush() };
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

  test('has each change of a circuit at once and in order, whatever happens to other domains', () => {
    const { log, lines, endInterval } = createLog();
    const changes = ['open', 'half-open', 'open', 'half-open', 'closed'].flatMap((circuitState) =>
      ['cn', 'eu', 'us'].map((host) => ({ host, circuitState })),
    );
    for (const change of changes) log.warn(change, 'circuit breaker of a vendor domain changed its state');
    expect(lines()).toMatchObject(changes);
    endInterval();
    expect(lines()).toHaveLength(changes.length);
  });
});
