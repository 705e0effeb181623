const TIMEOUT_MS = 10_000;
const IV_BYTES = 12;
/** As src/http/console-sessions.ts. */
const CURVE = { name: 'ECDH', namedCurve: 'P-256' };
const PURPOSE = 'sdk-token-broker console';

export interface Call {
  readonly method: string;
  /** Relative to the page. */
  readonly path: string;
  readonly body?: string;
  /** Begins a new session. */
  readonly token?: string;
}

export interface Reply {
  readonly status: number;
  /** In seconds. */
  readonly retryAfter: number;
  readonly text: string;
  /** Whether the process that served the page has sent it. */
  readonly isProved: boolean;
}

/** Sends a call. @throws Error without an answer */
export type Send = (call: Call) => Promise<Reply>;

interface Session {
  readonly key: CryptoKey;
  /** Of this page, in hexadecimal. */
  readonly publicKey: string;
  /** The broker's first answer has it. */
  id: string;
  /** Calls so far. */
  count: number;
}

/**
 * Sends calls to the process that served the page, and to nobody else: another process that answers at this address
 * cannot open a call, use it, or make an answer. The page keeps no token, and the key of a session cannot leave it.
 */
export class SealedCalls {
  readonly #broker: string;
  /** The session that was begun last. Another one may be ready before it. */
  #session: Promise<Session> | undefined;

  /** @param broker the public key of the process, in hexadecimal */
  constructor(broker: string) {
    this.#broker = broker;
  }

  forget(): void {
    this.#session = undefined;
  }

  /** @throws Error without an answer */
  async send(call: Call): Promise<Reply> {
    if (call.token !== undefined) this.#session = newSession(this.#broker);
    const session = await this.#session;
    if (!session) throw new Error('the session was forgotten');
    const number = session.count;
    session.count += 1;
    const about = `${number} ${session.id}`;
    const response = await request(`console/calls?page=${session.publicKey}&number=${number}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: await seal(session.key, `call ${about}`, JSON.stringify(call)),
    });
    const content = new Uint8Array(await response.arrayBuffer());
    const text = await open(session.key, `answer ${about}`, content);
    if (text === undefined) {
      return { status: response.status, retryAfter: 1, text: new TextDecoder().decode(content), isProved: false };
    }
    const reply = JSON.parse(text);
    if (reply.session !== undefined) session.id = reply.session;
    return { ...reply, isProved: true };
  }
}

/** Sends a call as it is: to the demo, which needs no token. */
export async function plainCall({ method, path, body }: Call): Promise<Reply> {
  const headers: HeadersInit = body === undefined ? {} : { 'content-type': 'application/json' };
  const response = await request(path, { method, headers, ...(body !== undefined && { body }) });
  const retryAfter = Number(response.headers.get('retry-after') ?? 1);
  return { status: response.status, retryAfter, text: await response.text(), isProved: true };
}

function request(path: string, init: RequestInit): Promise<Response> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  return fetch(path, { ...init, cache: 'no-store', credentials: 'omit', redirect: 'error', signal });
}

async function newSession(broker: string): Promise<Session> {
  const { subtle } = crypto;
  const own = await subtle.generateKey(CURVE, false, ['deriveBits']);
  const brokerKey = await subtle.importKey('raw', fromHex(broker), CURVE, false, []);
  const shared = await subtle.deriveBits({ name: 'ECDH', public: brokerKey }, own.privateKey, 256);
  const secret = await subtle.importKey('raw', shared, 'HKDF', false, ['deriveKey']);
  const salt = await subtle.exportKey('raw', own.publicKey);
  const derivation = { name: 'HKDF', hash: 'SHA-256', salt, info: new TextEncoder().encode(PURPOSE) };
  const aes = { name: 'AES-GCM', length: 256 };
  const key = await subtle.deriveKey(derivation, secret, aes, false, ['encrypt', 'decrypt']);
  return { key, publicKey: toHex(new Uint8Array(salt)), id: '', count: 0 };
}

async function seal(key: CryptoKey, context: string, text: string): Promise<Blob> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  return new Blob([iv, await crypto.subtle.encrypt(cipher(iv, context), key, new TextEncoder().encode(text))]);
}

/** @returns `undefined` if nobody with this key made it for this context */
async function open(key: CryptoKey, context: string, sealed: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  const iv = sealed.subarray(0, IV_BYTES);
  try {
    const text = await crypto.subtle.decrypt(cipher(iv, context), key, sealed.subarray(IV_BYTES));
    return new TextDecoder().decode(text);
  } catch {
    return undefined;
  }
}

function cipher(iv: Uint8Array<ArrayBuffer>, context: string): AesGcmParams {
  return { name: 'AES-GCM', iv, additionalData: new TextEncoder().encode(context) };
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
