import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { listening } from './listening.ts';

/** A span in OTLP/JSON. */
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly OtlpAttribute[];
  readonly events: readonly object[];
  readonly status: { readonly code?: number };
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

export interface ReceivedSpan extends Omit<OtlpSpan, 'attributes'> {
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  readonly resource: Readonly<Record<string, string | number | undefined>>;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly port: number;
  /** Every span so far, in the order of their ends. */
  spans(): ReceivedSpan[];
  /** The path, the headers and the body of every export. */
  raw(): string[];
  close(): Promise<void>;
}

/** Starts an OTLP/HTTP receiver for JSON, which ends with the test. @param mode `hang`: it reads the requests and never answers */
export async function startOtlpReceiver(mode: 'answer' | 'hang' = 'answer'): Promise<OtlpReceiver> {
  const raw: string[] = [];
  const received: ReceivedSpan[] = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    raw.push(`${request.url} ${JSON.stringify(request.headers)} ${body}`);
    received.push(...spansOf(JSON.parse(body)));
    if (mode === 'answer') response.setHeader('content-type', 'application/json').end('{}');
  });
  return { ...(await listening(server)), spans: () => [...received], raw: () => [...raw] };
}

function spansOf({ resourceSpans }: OtlpRequest): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...span,
        attributes: valuesOf(span.attributes),
        resource: valuesOf(resource.attributes),
      })),
    ),
  );
}

function valuesOf(attributes: readonly OtlpAttribute[]): ReceivedSpan['attributes'] {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
}

/**
 * The spans of one trace as lines, each indented below its parent, with the values of the given attributes. Children
 * are in the order of their ends.
 */
export function treeOf(spans: readonly ReceivedSpan[], traceId: string, shown: readonly string[] = []): string[] {
  const ofTrace = spans.filter((span) => span.traceId === traceId);
  const ids = new Set(ofTrace.map(({ spanId }) => spanId));
  const lines = (span: ReceivedSpan, depth: number): string[] => {
    const values = shown.flatMap((key) => span.attributes[key] ?? []);
    const own = [`${'  '.repeat(depth)}${span.name}`, ...values].join(' ');
    const below = ofTrace.filter(({ parentSpanId }) => parentSpanId === span.spanId);
    return [own, ...below.flatMap((child) => lines(child, depth + 1))];
  };
  const roots = ofTrace.filter(({ parentSpanId }) => !parentSpanId || !ids.has(parentSpanId));
  return roots.flatMap((root) => lines(root, 0));
}
