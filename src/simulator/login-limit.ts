import { Refusal } from './refusal.ts';

/** The vendor's own limit: so many logins in any one second, for everybody together. */
export class LoginLimit {
  #admitted: number[] = [];

  /**
   * @param perSecond 0: no limit
   * @param now epoch ms
   * @throws Refusal 10015
   */
  admit(perSecond: number, now: number): void {
    if (perSecond === 0) return;
    this.#admitted = this.#admitted.filter((at) => now - at < 1000);
    if (this.#admitted.length >= perSecond) throw new Refusal('tooFrequent', 'too many logins per second');
    this.#admitted.push(now);
  }
}
