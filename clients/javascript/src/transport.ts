export interface TransportRequest {
  readonly method: 'GET' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The transport ends the request by itself after this time. The client stops waiting a second earlier. */
  readonly timeoutMs: number;
  /** Ends the request earlier. Missing where the platform has no `AbortController`. */
  readonly signal?: TransportSignal | undefined;
}

/** The part of `AbortSignal` that a transport needs. The types of this package must not depend on a platform. */
export interface TransportSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
}

export interface TransportAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Sends one request. It follows no redirect, and fails only if there is no answer. */
export type Transport = (request: TransportRequest) => Promise<TransportAnswer>;

/** A token has less than 1 KiB. */
export const MAX_ANSWER_LENGTH = 64 * 1024;

/** The default transport. It reads at most a little more than {@link MAX_ANSWER_LENGTH} of an answer. */
export const fetchTransport: Transport = async ({ method, url, headers, signal }) => {
  const init = { method, headers, redirect: 'manual', cache: 'no-store' } as const;
  const response = await fetch(url, { ...init, signal: (signal as AbortSignal | undefined) ?? null });
  const found: Record<string, string> = {};
  response.headers.forEach((value, name) => {
    found[name] = value;
  });
  return { status: response.status, headers: found, text: await textOf(response) };
};

async function textOf(response: Response): Promise<string> {
  // React Native has no streams.
  if (!response.body) return response.text();
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (done) return text;
    if (text.length > MAX_ANSWER_LENGTH) {
      void reader.cancel();
      return text;
    }
  }
}
