import { type Clock, raceTimeout } from '../../src/token/clock.ts';
import type { VendorResponse, VendorTransport } from '../../src/vendor-api/client.ts';
import { VendorFault } from '../../src/vendor-api/faults.ts';
import type { VirtualTime } from './virtual-time.ts';

/** How the vendor behaves at one moment. `lost`: the login succeeds, and its answer does not arrive. */
export type VendorMood =
  | 'well'
  | 'http_error'
  | 'garbage'
  | 'silent'
  | 'lost'
  | 'maintenance'
  | 'too_frequent'
  | 'unknown_code';

export interface VendorModelOptions {
  /** The effect of a second login of a terminal on its first token: `overlap`: none. `replace`: it ends. */
  readonly mode: 'overlap' | 'replace';
  readonly lifetimeMs: number;
  readonly latencyMs: () => number;
  /** The vendor's clock minus the virtual time. */
  readonly clockOffsetMs: number;
}

const RESULT_CODES: Partial<Record<VendorMood, number>> = {
  maintenance: 10901060,
  too_frequent: 10015,
  unknown_code: 42,
};
const TIMESTAMP_TOLERANCE_MS = 300_000;

/** The vendor: answers logins as the protocol says, and knows which token of a terminal it accepts. */
export class VendorModel {
  readonly #time: VirtualTime;
  readonly #options: VendorModelOptions;
  readonly #newest = new Map<string, string>();
  readonly #inFlight = new Map<string, number>();
  #tokens = 0;
  mood: VendorMood = 'well';
  /** When each request arrived: epoch ms. */
  readonly requestsAt: number[] = [];
  /** Successful logins by terminal. */
  readonly logins = new Map<string, number>();

  constructor(time: VirtualTime, options: VendorModelOptions) {
    this.#time = time;
    this.#options = options;
  }

  /** Logins of the terminal that the vendor is working on. */
  inFlight(terminal: string): number {
    return this.#inFlight.get(terminal) ?? 0;
  }

  /** Whether the vendor accepts this token of the terminal, apart from its expiry. */
  accepts(terminal: string, accessToken: string): boolean {
    return this.#options.mode === 'overlap' || this.#newest.get(terminal) === accessToken;
  }

  /** The broker's connection to the vendor. @param clock the replica's */
  transportFor(clock: Clock, onRequest: (terminal: string) => void): VendorTransport {
    return {
      post: async (request, timeoutMs) => {
        const { unionId, uniqueId } = JSON.parse(new TextDecoder().decode(request.body)) as Record<string, string>;
        const terminal = `${unionId}/${uniqueId}`;
        this.requestsAt.push(this.#time.now);
        this.#inFlight.set(terminal, this.inFlight(terminal) + 1);
        onRequest(terminal);
        // The vendor finishes a login whether or not the broker still waits for its answer.
        const answer = this.#answer(terminal, Number(request.headers['X-IotVideo-Timestamp']) * 1_000);
        const response = await raceTimeout(clock, timeoutMs, answer);
        if (!response) throw new VendorFault('timeout');
        return response;
      },
      close: async () => undefined,
    };
  }

  async #answer(terminal: string, timestamp: number): Promise<VendorResponse> {
    const { mood } = this;
    await new Promise<void>((resolve) => {
      this.#time.after(this.#options.latencyMs(), resolve);
    });
    this.#inFlight.set(terminal, this.inFlight(terminal) - 1);
    const vendorNow = this.#time.now + this.#options.clockOffsetMs;
    const respond = (status: number, text: string): VendorResponse => ({
      status,
      text,
      dateHeader: Math.floor(vendorNow / 1_000) * 1_000,
      retryAfter: undefined,
    });
    if (mood === 'http_error') return respond(503, '<html>');
    if (mood === 'garbage') return respond(200, '{"code":0,"data":{"accessToken":12}}');
    if (mood === 'silent') return new Promise<never>(() => undefined);
    const code = RESULT_CODES[mood];
    if (code !== undefined) return respond(200, JSON.stringify({ code, msg: mood, requestId: '' }));
    if (Math.abs(timestamp - vendorNow) > TIMESTAMP_TOLERANCE_MS) {
      return respond(200, JSON.stringify({ code: 10007, msg: 'refused:-2', requestId: '' }));
    }
    const data = this.#issue(terminal, vendorNow);
    if (mood === 'lost') return new Promise<never>(() => undefined);
    return respond(200, JSON.stringify({ code: 0, msg: 'ok', requestId: 'r', data }));
  }

  #issue(terminal: string, vendorNow: number): object {
    const accessToken = `token-${++this.#tokens}`;
    this.#newest.set(terminal, accessToken);
    this.logins.set(terminal, (this.logins.get(terminal) ?? 0) + 1);
    // One for each account, as at the real vendor.
    const [unionId = ''] = terminal.split('/');
    const accessId = `9${[...unionId].map((character) => character.charCodeAt(0)).join('')}`;
    // Milliseconds (a value above 10^11): a token's life is exact.
    const expireTime = String(Math.floor(vendorNow + this.#options.lifetimeMs));
    return { accessId, accessToken, expireTime, terminalId: accessId, expand: '{}' };
  }
}
