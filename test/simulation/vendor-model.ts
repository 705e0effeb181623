import { type Clock, withTimeout } from '../../src/token/clock.ts';
import type { VendorResponse, VendorTransport } from '../../src/vendor-api/client.ts';
import { VendorFault } from '../../src/vendor-api/faults.ts';
import type { VendorLogin } from '../judge/recording.ts';
import type { VirtualProcess, VirtualTime } from './virtual-time.ts';
import type { World } from './world.ts';

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

type Surroundings = Pick<World, 'scenario' | 'time' | 'recorder' | 'note'> & {
  readonly onLogin: (login: VendorLogin) => void;
};

const RESULT_CODES: Partial<Record<VendorMood, number>> = {
  maintenance: 10901060,
  too_frequent: 10015,
  unknown_code: 42,
};
const TIMESTAMP_TOLERANCE_MS = 300_000;

/** The vendor: answers logins as the protocol says, and knows which token of a terminal it accepts. */
export class VendorModel {
  readonly #options: Surroundings;
  readonly #time: VirtualTime;
  /** The newest token of each terminal. */
  readonly #current = new Map<string, string>();
  readonly #tokens = new Map<string, { readonly terminal: string; readonly expiresAt: number }>();
  mood: VendorMood = 'well';

  constructor(options: Surroundings) {
    this.#options = options;
    this.#time = options.time;
  }

  /** When a token ends; `Infinity` for one that was never issued. */
  endOf(token: string): number {
    return this.#tokens.get(token)?.expiresAt ?? Number.POSITIVE_INFINITY;
  }

  /** Whether the vendor takes the token now. */
  takes(token: string): boolean {
    const { terminal = '', expiresAt = 0 } = this.#tokens.get(token) ?? {};
    const isReplaced = this.#options.scenario.vendorMode === 'replace' && this.#current.get(terminal) !== token;
    return !isReplaced && expiresAt > this.#time.now;
  }

  /** The broker's connection to the vendor. @param clock that of the process */
  transportFor(process: VirtualProcess, clock: Clock): VendorTransport {
    return {
      post: async (request, timeoutMs) => {
        const { unionId = '', uniqueId = '' } = JSON.parse(new TextDecoder().decode(request.body)) as Record<
          string,
          string
        >;
        const { recorder, note, onLogin } = this.#options;
        const login = recorder.loginReceived({ account: unionId, uniqueId, replica: process.number });
        note(`${unionId}/${uniqueId}: login by replica ${process.number}`);
        onLogin(login);
        const timestamp = Number(request.headers['X-IotVideo-Timestamp']) * 1_000;
        // The vendor finishes a login whether or not the broker still waits for its answer.
        const answer = new Promise<VendorResponse>((resolve) => {
          this.#answerLater(login, timestamp, (response) => {
            this.#time.after(0, () => resolve(response), process);
          });
        });
        const response = await withTimeout(clock, timeoutMs, answer);
        if (!response) throw new VendorFault('timeout');
        if (login.token !== undefined) login.deliveredAt = recorder.now();
        return response;
      },
    };
  }

  #answerLater(login: VendorLogin, timestamp: number, deliver: (response: VendorResponse) => void): void {
    const { mood } = this;
    this.#time.after(this.#options.scenario.vendorLatencyMs(this.#time.random), () => {
      login.answeredAt = this.#options.recorder.now();
      const response = this.#answer(mood, login, timestamp);
      if (response) deliver(response);
    });
  }

  /** @returns `undefined`: the answer does not arrive */
  #answer(mood: VendorMood, login: VendorLogin, timestamp: number): VendorResponse | undefined {
    const vendorNow = this.#time.now + this.#options.scenario.vendorOffsetMs;
    const respond = (status: number, text: string): VendorResponse => ({
      status,
      text,
      dateHeader: Math.floor(vendorNow / 1_000) * 1_000,
      retryAfter: undefined,
    });
    if (mood === 'http_error') return respond(503, '<html>');
    if (mood === 'garbage') return respond(200, '{"code":0,"data":{"accessToken":12}}');
    if (mood === 'silent') return undefined;
    const code = RESULT_CODES[mood];
    if (code !== undefined) return respond(200, JSON.stringify({ code, msg: mood, requestId: '' }));
    if (Math.abs(timestamp - vendorNow) > TIMESTAMP_TOLERANCE_MS) {
      return respond(200, JSON.stringify({ code: 10007, msg: 'refused:-2', requestId: '' }));
    }
    const data = this.#issue(login, vendorNow);
    if (mood === 'lost') return undefined;
    return respond(200, JSON.stringify({ code: 0, msg: 'ok', requestId: 'r', data }));
  }

  #issue(login: VendorLogin, vendorNow: number): object {
    const { recorder, scenario, note } = this.#options;
    const accessToken = `token-${this.#tokens.size + 1}`;
    const terminal = `${login.account}/${login.uniqueId}`;
    this.#tokens.set(accessToken, { terminal, expiresAt: this.#time.now + scenario.tokenLifeMs });
    this.#current.set(terminal, accessToken);
    login.token = accessToken;
    login.expiresAt = recorder.now() + scenario.tokenLifeMs;
    note(`${terminal}: the vendor issues ${accessToken} to replica ${login.replica}`);
    // One for each account, as at the real vendor.
    const accessId = `9${[...login.account].map((character) => character.charCodeAt(0)).join('')}`;
    // Milliseconds (a value above 10^11): a token's life is exact.
    const expireTime = String(Math.floor(vendorNow + scenario.tokenLifeMs));
    return { accessId, accessToken, expireTime, terminalId: accessId, expand: '{}' };
  }
}
