export interface ContactFailure {
  /** Epoch ms. */
  readonly at: number;
  /** The kind of failure, in a word or a code. It holds nothing personal and no secret. */
  readonly reason: string;
  /** The vendor's result code. */
  readonly vendorCode?: number | undefined;
}

/** When another system was last reached, and when not. */
export interface Contact {
  /** Epoch ms; `undefined` before the first success. */
  readonly lastSuccessAt: number | undefined;
  readonly lastFailure: ContactFailure | undefined;
}

/**
 * Remembers the last success and the last failure of a system that the broker depends on, for `GET /status`. One replica
 * knows only its own contacts.
 */
export class ContactHistory implements Contact {
  #lastSuccessAt: number | undefined;
  #lastFailure: ContactFailure | undefined;

  get lastSuccessAt(): number | undefined {
    return this.#lastSuccessAt;
  }

  get lastFailure(): ContactFailure | undefined {
    return this.#lastFailure;
  }

  /** @param at epoch ms */
  succeeded(at: number): void {
    this.#lastSuccessAt = at;
  }

  failed(failure: ContactFailure): void {
    this.#lastFailure = failure;
  }
}
