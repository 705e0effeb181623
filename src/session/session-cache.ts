import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import type { BelievedPrincipal, Principal, SessionVerifier } from '../token/principal.ts';

export interface SessionCacheOptions {
  /** How long an accepted session is believed without asking again; 0: never. */
  readonly cacheSeconds: number;
  /** How long a refusal is repeated without asking again; 0: never. */
  readonly refusalMs: number;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Default 10,000. */
  readonly maxEntries?: number;
  /** Default 16 MiB. */
  readonly maxBytes?: number;
}

interface Accepted {
  readonly principal: BelievedPrincipal;
  /** Epoch ms until which it is believed on while nobody can be asked. */
  readonly keptUntil: number;
}

interface Refused {
  readonly refusal: BrokerError;
  /** Epoch ms. */
  readonly repeatedUntil: number;
}

/** About what one entry takes besides the session's own characters. */
const ENTRY_BYTES = 512;
/** Refusals have room of their own, as anybody can cause them: they never displace an accepted session. */
const REFUSED_MAX_BYTES = 1_048_576;
/** How long nobody is asked about a session that is believed on. */
const ASK_AGAIN_MS = 2_000;

/**
 * Remembers what another verifier said of sessions. An accepted one is believed for `cacheSeconds` since it was asked
 * about; while the verifier then answers `session_check_unavailable`, it is believed on for as long again, so at most
 * twice `cacheSeconds` since it was last confirmed; never past the principal's `expiresAt`. A refused one is refused for
 * `refusalMs` since it was asked about. Failures are not remembered. Callers with the same session share one
 * verification.
 */
export class SessionCache implements SessionVerifier<BelievedPrincipal> {
  readonly #verifier: SessionVerifier;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #cacheMs: number;
  readonly #refusalMs: number;
  readonly #accepted: LRUCache<string, Accepted>;
  readonly #refused: LRUCache<string, Refused>;
  readonly #inFlight = new Map<string, Promise<BelievedPrincipal>>();

  constructor(verifier: SessionVerifier, options: SessionCacheOptions) {
    this.#verifier = verifier;
    this.#clock = options.clock;
    this.#observer = options.observer;
    this.#cacheMs = options.cacheSeconds * 1_000;
    this.#refusalMs = options.refusalMs;
    const sizeCalculation = (_entry: Accepted | Refused, session: string) => session.length + ENTRY_BYTES;
    this.#accepted = new LRUCache<string, Accepted>({
      max: options.maxEntries ?? 10_000,
      maxSize: options.maxBytes ?? 16 * 1_048_576,
      sizeCalculation,
    });
    this.#refused = new LRUCache<string, Refused>({ maxSize: REFUSED_MAX_BYTES, sizeCalculation });
  }

  async verify(session: string): Promise<BelievedPrincipal> {
    const accepted = this.#accepted.get(session);
    if (accepted && this.#clock.now() < accepted.principal.believedUntil) {
      this.#observer.sessionChecked('cached');
      return accepted.principal;
    }
    const refused = this.#refusalMs > 0 ? this.#refused.get(session) : undefined;
    if (refused && this.#clock.now() < refused.repeatedUntil) {
      this.#observer.sessionChecked(refused.refusal.code);
      throw refused.refusal;
    }
    return this.#inFlight.get(session) ?? this.#start(session);
  }

  #start(session: string): Promise<BelievedPrincipal> {
    const flight = this.#ask(session);
    this.#inFlight.set(session, flight);
    return flight;
  }

  async #ask(session: string): Promise<BelievedPrincipal> {
    // Counted from the question: what the answer rests on may be that old.
    const askedAt = this.#clock.now();
    try {
      const principal = await this.#verifier.verify(session);
      this.#observer.sessionChecked('accepted');
      return this.#accept(session, principal, askedAt);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (error.code === 'session_check_unavailable') return this.#believedOn(session, error);
      this.#observer.sessionChecked(error.code);
      this.#refuse(session, error, askedAt);
      throw error;
    } finally {
      this.#inFlight.delete(session);
    }
  }

  #accept(session: string, principal: Principal, askedAt: number): BelievedPrincipal {
    const believed = { ...principal, believedUntil: Math.min(askedAt + this.#cacheMs, principal.expiresAt) };
    const keptUntil = Math.min(askedAt + 2 * this.#cacheMs, principal.expiresAt);
    if (this.#cacheMs > 0) this.#accepted.set(session, { principal: believed, keptUntil });
    return believed;
  }

  #refuse(session: string, refusal: BrokerError, askedAt: number): void {
    this.#accepted.delete(session);
    if (this.#refusalMs > 0) this.#refused.set(session, { refusal, repeatedUntil: askedAt + this.#refusalMs });
  }

  #believedOn(session: string, failure: BrokerError): BelievedPrincipal {
    const now = this.#clock.now();
    const accepted = this.#accepted.get(session);
    const keeps = accepted && now < accepted.keptUntil;
    this.#observer.sessionChecked(keeps ? 'kept' : failure.code);
    if (!keeps) throw failure;
    const principal = { ...accepted.principal, believedUntil: Math.min(now + ASK_AGAIN_MS, accepted.keptUntil) };
    this.#accepted.set(session, { ...accepted, principal });
    return principal;
  }
}
