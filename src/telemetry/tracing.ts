import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Context,
  context,
  DiagLogLevel,
  defaultTextMapGetter,
  diag,
  type Tracer as OtelTracer,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import { type Clock, withTimeout } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { RequestTracer, SpanFacts, Tracer } from '../token/tracer.ts';

export interface TracingOptions {
  readonly endpoint: URL;
  /** Sent with each export. They may hold a secret. */
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string | undefined;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  /** The names of OpenTelemetry. */
  readonly sampler:
    | 'always_on'
    | 'always_off'
    | 'traceidratio'
    | 'parentbased_always_on'
    | 'parentbased_always_off'
    | 'parentbased_traceidratio';
  /** The share of traces for the two samplers with a ratio. */
  readonly ratio: number;
}

/** Spans that wait for an export. Further spans are dropped, and counted in a warning. */
const MAX_QUEUED_SPANS = 2_048;
const MAX_BATCH_SPANS = 512;
/** At shutdown, the last spans get this long to be sent. */
const STOP_MS = 1_000;
/** Traces per second that callers may ask for by a `traceparent`. */
export const MAX_CALLER_TRACES_PER_SECOND = 200;

/** Requests that ask every second whether the replica is fine. They are not traced. */
const UNTRACED_PATHS = /^\/(livez|readyz|metrics|status|console|docs|openapi\.json)\b/;

/**
 * Records spans with the SDK of OpenTelemetry and sends them to an OTLP/HTTP receiver. It is loaded only if one is
 * configured, because the SDK takes memory and time. It registers no propagator: no request of the broker carries a
 * `traceparent` to the vendor or to a session server.
 */
export class Tracing implements Tracer, RequestTracer {
  readonly #clock: Clock;
  readonly #provider: NodeTracerProvider;
  readonly #tracer: OtelTracer;
  readonly #propagator = new W3CTraceContextPropagator();
  readonly #requests = new WeakMap<object, Context>();
  #headers: TracingOptions['headers'];
  /** The current second, and the traces that callers have got in it. */
  #second = 0;
  #callerTraces = 0;

  /** One per process: the SDK keeps its state in globals. @param log samples its lines: the SDK may report each span */
  constructor(options: TracingOptions, version: string, clock: Clock, log: Pick<Log, 'warn'>) {
    this.#clock = clock;
    this.#headers = options.headers;
    reportProblems(log);
    const exporter = new OTLPTraceExporter({ url: options.endpoint.href, headers: async () => ({ ...this.#headers }) });
    this.#provider = new NodeTracerProvider({
      resource: defaultResource().merge(resourceFromAttributes(resourceAttributes(options, version))),
      sampler: samplerOf(options),
      spanProcessors: [
        new BatchSpanProcessor(exporter, { maxQueueSize: MAX_QUEUED_SPANS, maxExportBatchSize: MAX_BATCH_SPANS }),
      ],
    });
    this.#provider.register({ propagator: null });
    this.#tracer = this.#provider.getTracer('sdk-token-broker', version);
  }

  /** Sends these headers with each export from now on. */
  useHeaders(headers: TracingOptions['headers']): void {
    this.#headers = headers;
  }

  /** The facts that each log line of a recorded trace names. */
  logFields(): { readonly traceId?: string } {
    const span = recordedSpan();
    return span ? { traceId: span.spanContext().traceId } : {};
  }

  span<T>(name: string, work: () => T, facts?: SpanFacts): T {
    if (!recordedSpan()) return work();
    const span = this.#tracer.startSpan(name, { kind: kindOf(facts), attributes: facts ?? {} });
    return this.#run(span, work);
  }

  trace<T>(name: string, work: () => T): T {
    const span = this.#tracer.startSpan(name, { root: true });
    // The work may run in the context of another trace, for example in a timer that a request has started.
    return span.isRecording() ? this.#run(span, work) : context.with(ROOT_CONTEXT, work);
  }

  /** Adds facts to the current span. */
  note(facts: SpanFacts): void {
    recordedSpan()?.setAttributes(facts);
  }

  request(incoming: IncomingMessage, response: ServerResponse, work: () => void): void {
    const active = UNTRACED_PATHS.test(incoming.url ?? '') ? undefined : this.#contextOf(incoming, response);
    if (active) context.with(active, work);
    else work();
  }

  resume(request: object, work: () => void): void {
    const active = this.#requests.get(request);
    if (active) context.with(active, work);
    else work();
  }

  matched(method: string, route: string | undefined): void {
    if (route !== undefined) recordedSpan()?.updateName(`${method} ${route}`).setAttribute('http.route', route);
  }

  /** Sends the spans that wait, for at most a second. */
  async stop(): Promise<void> {
    const stopped = this.#provider.shutdown().catch(() => undefined);
    await withTimeout(this.#clock, STOP_MS, stopped);
  }

  /** Starts the span of a request. `undefined`: the request is not sampled. */
  #contextOf(incoming: IncomingMessage, response: ServerResponse): Context | undefined {
    const { method = 'GET', headers } = incoming;
    const parent = this.#propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    const attributes = { 'http.request.method': method };
    const span = this.#tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
    if (!span.isRecording()) return undefined;
    // Anybody may send a `traceparent` that asks for a trace. A span that does not end is not sent.
    if (parent !== ROOT_CONTEXT && !this.#mayTraceForCaller()) return undefined;
    response.once('close', () => {
      const { statusCode, writableFinished } = response;
      if (writableFinished) span.setAttribute('http.response.status_code', statusCode);
      else span.setAttribute('error.type', 'disconnected');
      if (statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    const active = trace.setSpan(ROOT_CONTEXT, span);
    this.#requests.set(incoming, active);
    return active;
  }

  #mayTraceForCaller(): boolean {
    const second = Math.floor(this.#clock.monotonic() / 1_000);
    if (second !== this.#second) [this.#second, this.#callerTraces] = [second, 0];
    this.#callerTraces += 1;
    return this.#callerTraces <= MAX_CALLER_TRACES_PER_SECOND;
  }

  #run<T>(span: Span, work: () => T): T {
    let result: T;
    try {
      result = context.with(trace.setSpan(context.active(), span), work);
    } catch (error) {
      fail(span, error);
      throw error;
    }
    if (result instanceof Promise) {
      result.then(
        () => span.end(),
        (error: unknown) => fail(span, error),
      );
    } else span.end();
    return result;
  }
}

/** The current span, unless it is not sampled or has ended. */
function recordedSpan(): Span | undefined {
  const span = trace.getActiveSpan();
  return span?.isRecording() ? span : undefined;
}

/** A span that names another system is a request to it. */
function kindOf(facts: SpanFacts | undefined): SpanKind {
  return facts && ('server.address' in facts || 'db.system.name' in facts) ? SpanKind.CLIENT : SpanKind.INTERNAL;
}

/** Messages of errors may hold data of a request, so a span names only the kind of the error. */
function fail(span: Span, error: unknown): void {
  span.setAttribute('error.type', errorType(error));
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

function errorType(error: unknown): string {
  if (error instanceof BrokerError) return error.code;
  if (!(error instanceof Error)) return 'unknown';
  return 'kind' in error ? String(error.kind) : error.name;
}

function resourceAttributes({ serviceName, resourceAttributes }: TracingOptions, version: string) {
  return {
    'service.name': 'sdk-token-broker',
    'service.version': version,
    'service.instance.id': randomUUID(),
    ...resourceAttributes,
    ...(serviceName !== undefined && { 'service.name': serviceName }),
  };
}

function samplerOf({ sampler, ratio }: TracingOptions): Sampler {
  const root = sampler.endsWith('traceidratio')
    ? new TraceIdRatioBasedSampler(ratio)
    : sampler.endsWith('always_on')
      ? new AlwaysOnSampler()
      : new AlwaysOffSampler();
  return sampler.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root;
}

/** Writes the problems of the SDK to the log. */
function reportProblems(log: Pick<Log, 'warn'>): void {
  const report = (problem: string): void => log.warn({ problem }, 'tracing has a problem');
  const ignore = (): void => undefined;
  const logger = { error: report, warn: report, info: ignore, debug: ignore, verbose: ignore };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  setGlobalErrorHandler((err) => log.warn({ err }, 'spans could not be sent and are lost'));
}
