import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { context, diag, trace } from '@opentelemetry/api';
import { globalErrorHandler } from '@opentelemetry/core';
import { expect, onTestFinished, test, vi } from 'vitest';
import { MAX_CALLER_TRACES_PER_SECOND, Tracing, type TracingOptions } from '../../../src/telemetry/tracing.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { captureLog } from '../../support/captured-log.ts';
import { type OtlpReceiver, startOtlpReceiver, treeOf } from '../../support/otlp-receiver.ts';
import { TestClock } from '../../support/test-clock.ts';

async function startTracing(options: Partial<TracingOptions> = {}, receiver?: OtlpReceiver) {
  const to = receiver ?? (await startOtlpReceiver());
  const clock = new TestClock();
  const log = captureLog('warn');
  const tracing = new Tracing(
    {
      endpoint: new URL(`${to.url}/v1/traces`),
      headers: {},
      serviceName: undefined,
      resourceAttributes: {},
      sampler: 'parentbased_always_on',
      ratio: 1,
      ...options,
    },
    '1.2.3',
    clock,
    log.logger,
  );
  onTestFinished(async () => {
    await tracing.stop();
    trace.disable();
    context.disable();
  });
  return { tracing, clock, log, receiver: to };
}

/** Runs `work` as a request with this header. */
function request(tracing: Tracing, work: () => void, traceparent?: string): void {
  const response = Object.assign(new EventEmitter(), { statusCode: 200, writableFinished: true }) as ServerResponse;
  const incoming = { method: 'GET', url: '/', headers: traceparent ? { traceparent } : {} } as IncomingMessage;
  tracing.request(incoming, response, work);
  response.emit('close');
}

/** The id of the trace that is recorded at this moment. */
function traceIdOf(tracing: Tracing): string | undefined {
  return tracing.logFields().traceId;
}

const SAMPLED = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

test('a receiver that hangs leaves 2,048 spans in the queue and 512 on the way; the others are dropped', async () => {
  const { tracing, log, receiver } = await startTracing({}, await startOtlpReceiver('hang'));
  for (let count = 0; count < 10_000; count += 1) tracing.trace('renewal', () => undefined);
  await vi.waitFor(() => expect(receiver.spans()).toHaveLength(512));
  await tracing.stop();
  await vi.waitFor(() => expect(receiver.spans()).toHaveLength(512 + 2_048));
  expect(log.lines()).toEqual([]);
});

test.each(['parentbased_always_on', 'parentbased_traceidratio', 'traceidratio', 'always_on'] as const)(
  'callers get a bounded number of traces per second with %s, and other traces do not count',
  async (sampler) => {
    const { tracing, clock } = await startTracing({ sampler });
    const recorded = (requests: number, traceparent?: string): number => {
      let count = 0;
      for (let sent = 0; sent < requests; sent += 1)
        request(tracing, () => (count += traceIdOf(tracing) === undefined ? 0 : 1), traceparent);
      return count;
    };
    expect(recorded(1_000, SAMPLED)).toBe(MAX_CALLER_TRACES_PER_SECOND);
    expect(recorded(1_000, SAMPLED)).toBe(0);
    expect(recorded(300)).toBe(300);
    clock.advance(1_000);
    expect(recorded(1_000, SAMPLED)).toBe(MAX_CALLER_TRACES_PER_SECOND);
  },
);

test.each(['always_off', 'parentbased_always_off'] as const)('%s records no trace of its own', async (sampler) => {
  const { tracing } = await startTracing({ sampler });
  request(tracing, () => expect(traceIdOf(tracing)).toBeUndefined());
  let asked: string | undefined;
  request(tracing, () => (asked = traceIdOf(tracing)), SAMPLED);
  expect(asked !== undefined).toBe(sampler === 'parentbased_always_off');
});

test('a ratio of 0.1 records about a tenth', async () => {
  const { tracing } = await startTracing({ sampler: 'parentbased_traceidratio', ratio: 0.1 });
  let count = 0;
  for (let sent = 0; sent < 10_000; sent += 1) request(tracing, () => (count += traceIdOf(tracing) ? 1 : 0));
  expect(count).toBeGreaterThan(800);
  expect(count).toBeLessThan(1_200);
});

test('work without a recorded span runs without one, and a result or an error is passed on', async () => {
  const { tracing, receiver } = await startTracing();
  const failure = new BrokerError('vendor_busy', { detail: 'detail-canary' });
  const kinds = [() => tracing.span('step', () => 1), () => tracing.trace('renewal', () => 2)];
  expect(kinds.map((kind) => kind())).toEqual([1, 2]);
  const failing = tracing.trace('renewal', () => tracing.span('step', () => Promise.reject(failure)));
  await expect(failing).rejects.toBe(failure);
  expect(() =>
    tracing.trace('renewal', () => {
      throw new TypeError('message-canary');
    }),
  ).toThrow('message-canary');
  await tracing.stop();
  const spans = receiver.spans();
  expect(spans.map(({ name, attributes }) => [name, attributes['error.type']])).toEqual([
    ['renewal', undefined],
    ['step', 'vendor_busy'],
    ['renewal', 'vendor_busy'],
    ['renewal', 'TypeError'],
  ]);
  expect(treeOf(spans, spans[2]?.traceId ?? '')).toEqual(['renewal', '  step']);
  expect(receiver.raw().join()).not.toContain('canary');
});

test('work that continues after the end of its span starts no further span in that trace', async () => {
  const { tracing } = await startTracing();
  let later = (): unknown => undefined;
  tracing.trace('renewal', () => {
    const traceId = traceIdOf(tracing);
    later = () => [traceId, traceIdOf(tracing)];
  });
  expect(later()).toEqual([expect.stringMatching(/^[\da-f]{32}$/), undefined]);
});

test('problems of the SDK are in the log', async () => {
  const { log } = await startTracing();
  globalErrorHandler(new Error('the receiver is away'));
  diag.warn('dropped');
  diag.info('retrying');
  expect(log.lines()).toMatchObject([
    { msg: 'spans could not be sent and are lost', level: 'warn' },
    { msg: 'tracing has a problem', level: 'warn', problem: 'dropped' },
  ]);
});
