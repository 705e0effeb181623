import type { IncomingMessage, ServerResponse } from 'node:http';

/** What a span tells besides its name. It never identifies a person, a terminal or a session. */
export type SpanFacts = Readonly<Record<string, string | number>>;

/** Names the steps of a request for a tracing system. `docs/metrics.md` lists the spans. No method throws by itself. */
export interface Tracer {
  /** Runs `work` in a span below the current one and returns its result. Without a span to record, only runs it. */
  span<T>(name: string, work: () => T, facts?: SpanFacts): T;

  /** Runs `work` in the first span of a new trace, which the sampler may leave out. */
  trace<T>(name: string, work: () => T): T;
}

/** Runs the work and records nothing. */
export const noTracer: Tracer = {
  span: (_name, work) => work(),
  trace: (_name, work) => work(),
};

/** Tracing of the requests to an API. */
export interface RequestTracer {
  /** Runs `work`, which answers the request, in a span until the response ends, perhaps below its `traceparent`. */
  request(request: IncomingMessage, response: ServerResponse, work: () => void): void;
  /** Runs `work` in the span of the request, where Node has lost it: after the events of a request body. */
  resume(request: object, work: () => void): void;
  /** The current request has this route, like `/accounts/:unionId`; `undefined` if there is none for its URL. */
  matched(method: string, route: string | undefined): void;
}
