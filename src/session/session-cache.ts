import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Principal, SessionVerifier } from '../token/ports.ts';

export interface SessionCacheOptions {
  /** How long an accepted session is believed without asking again; 0: never. */
  readonly cacheSeconds: number;
  readonly clock: Clock;
  /** Default 10,000. */
  readonly maxEntries?: number;
  /** Default 16 MiB. */
  readonly maxBytes?: number;
}

interface Accepted {
  /** Settled; the same for every caller, so that a hit allocates nothing. */
  readonly answer: Promise<Principal>;
  /** Epoch ms. */
  readonly believedUntil: number;
}

/** About what one entry takes besides the session's own characters. */
const ENTRY_BYTES = 512;

/**
 * Remembers which sessions another verifier has accepted: for `cacheSeconds` since it was asked, never past the
 * principal's `expiresAt`. Refusals and failures are not remembered. Callers with the same session share one
 * verification.
 */
export class SessionCache implements SessionVerifier {
  readonly #verifier: SessionVerifier;
  readonly #clock: Clock;
  readonly #cacheMs: number;
  readonly #accepted: LRUCache<string, Accepted>;
  readonly #inFlight = new Map<string, Promise<Principal>>();

  constructor(verifier: SessionVerifier, options: SessionCacheOptions) {
    this.#verifier = verifier;
    this.#clock = options.clock;
    this.#cacheMs = options.cacheSeconds * 1_000;
    this.#accepted = new LRUCache({
      max: options.maxEntries ?? 10_000,
      maxSize: options.maxBytes ?? 16 * 1_048_576,
      sizeCalculation: (_accepted, session) => session.length + ENTRY_BYTES,
    });
  }

  verify(session: string): Promise<Principal> {
    const accepted = this.#accepted.get(session);
    if (accepted && this.#clock.now() < accepted.believedUntil) return accepted.answer;
    return this.#inFlight.get(session) ?? this.#start(session);
  }

  #start(session: string): Promise<Principal> {
    this.#accepted.delete(session);
    const flight = this.#ask(session).finally(() => this.#inFlight.delete(session));
    this.#inFlight.set(session, flight);
    return flight;
  }

  async #ask(session: string): Promise<Principal> {
    // Counted from the question: what the answer rests on may be that old.
    const askedAt = this.#clock.now();
    const principal = await this.#verifier.verify(session);
    const believedUntil = Math.min(askedAt + this.#cacheMs, principal.expiresAt);
    if (this.#clock.now() < believedUntil) {
      this.#accepted.set(session, { answer: Promise.resolve(principal), believedUntil });
    }
    return principal;
  }
}
