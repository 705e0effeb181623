import type { Clock } from '../token/clock.ts';
import type { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';

const WINDOW_MS = 60_000;
/** Fewer refused sessions in a minute are no news. */
const MIN_REFUSED = 10;
/** Different reasons in one line. There are few, because they name claims and never values. */
const MAX_REASONS = 20;

/**
 * Says in the log why sessions are refused, so that a wrong key or issuer is noticed: when ten were refused within a
 * minute, and then at most once a minute. It needs no timer, and a session from memory does not reach it.
 */
export class RefusalSummary {
  readonly #clock: Clock;
  readonly #log: Pick<Log, 'info' | 'warn'>;
  readonly #reasons = new Map<string, number>();
  #startedAt = Number.NEGATIVE_INFINITY;
  #refused = 0;
  #accepted = 0;

  constructor(clock: Clock, log: Pick<Log, 'info' | 'warn'>) {
    this.#clock = clock;
    this.#log = log;
  }

  accepted(): void {
    this.#accepted += 1;
  }

  refused({ code, message }: BrokerError): void {
    this.#startWindow();
    const reason = `${code}: ${message}`;
    this.#refused += 1;
    const known = this.#reasons.get(reason);
    if (known !== undefined || this.#reasons.size < MAX_REASONS) this.#reasons.set(reason, (known ?? 0) + 1);
    if (this.#refused === MIN_REFUSED) this.#write();
  }

  /** If the last window is over, reports all of it and begins the next one. */
  #startWindow(): void {
    const now = this.#clock.now();
    if (now - this.#startedAt < WINDOW_MS) return;
    if (this.#refused > MIN_REFUSED) this.#write();
    this.#startedAt = now;
    this.#refused = 0;
    this.#accepted = 0;
    this.#reasons.clear();
  }

  /** The most frequent reason comes first. */
  #write(): void {
    const reasons = Object.fromEntries([...this.#reasons].sort(([, one], [, other]) => other - one));
    const fields = { refused: this.#refused, accepted: this.#accepted, reasons };
    const areMost = this.#refused > this.#accepted;
    if (areMost) this.#log.warn(fields, 'most sessions are refused: check one with `check --session`');
    else this.#log.info(fields, 'sessions are refused');
  }
}
