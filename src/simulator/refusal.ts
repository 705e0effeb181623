/** The vendor's result codes the simulator answers with (protocol.md, "Result codes"). */
export const RESULT_CODES = {
  parameterMissing: 10001,
  parameterMalformed: 10003,
  verificationFailed: 10007,
  tooFrequent: 10015,
  appIdentityWrong: 10901050,
  appFrozen: 10901051,
  appUnknown: 10901052,
  maintenance: 10901060,
  accountClosed: 10902013,
} as const;

export interface RefusalOptions {
  /** HTTP status; the vendor documents none for errors. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A definite no from the vendor: `code` and `message` go on the wire. */
export class Refusal extends Error {
  readonly code: number;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: keyof typeof RESULT_CODES, message: string, options: RefusalOptions = {}) {
    super(message);
    this.name = 'Refusal';
    this.code = RESULT_CODES[code];
    this.status = options.status ?? 200;
    this.headers = options.headers ?? {};
  }
}
