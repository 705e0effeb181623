import { type Clock, withTimeout } from '../../src/token/clock.ts';
import { accountOf, type Subject, type SubjectId, subjectId } from '../../src/token/subject.ts';
import type { VendorResponse, VendorTransport } from '../../src/vendor-api/client.ts';
import { VendorFault } from '../../src/vendor-api/faults.ts';
import type { Facts, LoginFact } from './facts.ts';
import type { VirtualProcess, VirtualTime } from './virtual-time.ts';

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
  readonly note: (line: string) => void;
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
  readonly #facts: Facts;
  readonly #current = new Map<SubjectId, LoginFact>();
  readonly #inFlight = new Map<SubjectId, number>();
  #tokens = 0;
  mood: VendorMood = 'well';

  constructor(time: VirtualTime, facts: Facts, options: VendorModelOptions) {
    this.#time = time;
    this.#facts = facts;
    this.#options = options;
  }

  /** The number of logins that succeeded. */
  get logins(): number {
    return this.#tokens;
  }

  /** Logins of the terminal that the vendor is working on. */
  inFlight(id: SubjectId): number {
    return this.#inFlight.get(id) ?? 0;
  }

  /** The login of the terminal's newest token. */
  current(id: SubjectId): LoginFact | undefined {
    return this.#current.get(id);
  }

  /** The broker's connection to the vendor. @param clock that of the process */
  transportFor(process: VirtualProcess, clock: Clock, onRequest: (login: LoginFact) => void): VendorTransport {
    return {
      post: async (request, timeoutMs) => {
        const { unionId = '', uniqueId = '' } = JSON.parse(new TextDecoder().decode(request.body)) as Record<
          string,
          string
        >;
        const login = this.#receive({ app: 'default', unionId, uniqueId }, process.name);
        onRequest(login);
        const timestamp = Number(request.headers['X-IotVideo-Timestamp']) * 1_000;
        // The vendor finishes a login whether or not the broker still waits for its answer.
        const answer = new Promise<VendorResponse>((resolve) => {
          this.#answerLater(login, timestamp, (response) => {
            this.#time.after(0, () => resolve(response), process);
          });
        });
        const response = await withTimeout(clock, timeoutMs, answer);
        if (!response) throw new VendorFault('timeout');
        if (login.accessToken !== undefined) login.deliveredAt = this.#time.now;
        return response;
      },
      close: async () => undefined,
    };
  }

  #receive(subject: Subject, by: string): LoginFact {
    const id = subjectId(subject);
    const login: LoginFact = {
      id,
      account: accountOf(id),
      terminal: `${subject.unionId}/${subject.uniqueId}`,
      by,
      receivedAt: this.#time.now,
      issuedAt: undefined,
      accessToken: undefined,
      expiresAt: Number.POSITIVE_INFINITY,
      endedAt: undefined,
      deliveredAt: undefined,
      servedAt: undefined,
      servedBy: new Map(),
      storedAt: undefined,
      reportedAt: undefined,
    };
    this.#facts.addLogin(login);
    this.#inFlight.set(id, this.inFlight(id) + 1);
    return login;
  }

  #answerLater(login: LoginFact, timestamp: number, deliver: (response: VendorResponse) => void): void {
    const { mood } = this;
    this.#time.after(this.#options.latencyMs(), () => {
      this.#inFlight.set(login.id, this.inFlight(login.id) - 1);
      const response = this.#answer(mood, login, timestamp);
      if (response) deliver(response);
    });
  }

  /** @returns `undefined`: the answer does not arrive */
  #answer(mood: VendorMood, login: LoginFact, timestamp: number): VendorResponse | undefined {
    const vendorNow = this.#time.now + this.#options.clockOffsetMs;
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

  #issue(login: LoginFact, vendorNow: number): object {
    const { mode, lifetimeMs } = this.#options;
    const accessToken = `token-${++this.#tokens}`;
    const former = this.#current.get(login.id);
    if (former && mode === 'replace') former.endedAt = this.#time.now;
    this.#current.set(login.id, login);
    login.accessToken = accessToken;
    login.issuedAt = this.#time.now;
    login.expiresAt = this.#time.now + lifetimeMs;
    this.#facts.addToken(accessToken, login);
    this.#options.note(`the vendor issues ${accessToken} for ${login.terminal} to ${login.by}`);
    // One for each account, as at the real vendor.
    const [unionId = ''] = login.terminal.split('/');
    const accessId = `9${[...unionId].map((character) => character.charCodeAt(0)).join('')}`;
    // Milliseconds (a value above 10^11): a token's life is exact.
    const expireTime = String(Math.floor(vendorNow + lifetimeMs));
    return { accessId, accessToken, expireTime, terminalId: accessId, expand: '{}' };
  }
}
