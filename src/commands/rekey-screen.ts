import type { RekeyTotals } from '../store/redis/rekey.ts';
import { systemClock } from '../token/clock.ts';
import { progressBar } from './progress-bar.ts';
import type { Terminal } from './terminal.ts';

const BAR_WIDTH = 20;
const REDRAW_MS = 100;
/** Where nobody watches, a line now and then. */
const LINE_MS = 5_000;

/** What `rekey` has to say. */
export class RekeyScreen {
  readonly #terminal: Terminal;
  readonly #keyPrefix: string;
  readonly #keyId: string;
  #saidAt = systemClock.now();

  constructor(terminal: Terminal, keyPrefix: string, keyId: string) {
    this.#terminal = terminal;
    this.#keyPrefix = keyPrefix;
    this.#keyId = keyId;
  }

  begin(): void {
    this.#terminal.out(`Re-encrypting what lies in Redis at ${this.#keyPrefix}:* under key ${this.#keyId}`);
  }

  progress(doing: string, share: number, { lookedAt, resealed }: RekeyTotals): void {
    const { out, redraw } = this.#terminal;
    const now = systemClock.now();
    if (now - this.#saidAt < (redraw ? REDRAW_MS : LINE_MS)) return;
    this.#saidAt = now;
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    const rest = `${percent}  ${number(lookedAt)} looked at, ${number(resealed)} re-encrypted`;
    if (redraw) redraw(`${doing.padEnd(13)} ${progressBar(share, BAR_WIDTH)}${rest}`);
    else out(`${doing.padEnd(13)}${rest}`);
  }

  totals({ lookedAt, resealed, current, changed, unreadable }: RekeyTotals): void {
    const lost = [...unreadable.values()].reduce((sum, count) => sum + count, 0);
    this.#row('looked at', lookedAt, 'tokens and directory entries');
    this.#row('re-encrypted', resealed);
    this.#row('already current', current);
    this.#row('changed meanwhile', changed, 'by a replica, which sealed them itself');
    this.#row('unreadable', lost, 'no key opens them: a token costs one login, not an error');
    for (const [why, count] of unreadable) this.#row('', count, why);
  }

  /** @param lookedAt how much there was. Nothing at all is more likely a wrong address than a store without tokens */
  done(lookedAt: number): number {
    if (lookedAt === 0) {
      this.#say('Nothing lies there: is REDIS_KEY_PREFIX what the replicas have, and REDIS_URL?');
      return 1;
    }
    this.#say(
      `Nothing that can be opened is left under another key: ` +
        `from TOKEN_ENCRYPTION_KEYS all but ${this.#keyId} may go.`,
    );
    return 0;
  }

  interrupted(): number {
    this.#say('Stopped before the end. What is re-encrypted stays so: run rekey again to go on.');
    return 1;
  }

  stillWritten({ resealed, changed }: RekeyTotals): number {
    this.#say(
      `While this ran, ${number(resealed + changed)} more were sealed under another key: some replica does not have ` +
        `${this.#keyId} first in TOKEN_ENCRYPTION_KEYS yet. Restart it with that, then run rekey again.`,
    );
    return 1;
  }

  #row(label: string, count: number, note = ''): void {
    this.#say(`  ${label.padEnd(18)}${number(count).padStart(12)}   ${count > 0 ? note : ''}`.trimEnd());
  }

  /** Over the progress bar, if there is one. */
  #say(line: string): void {
    this.#terminal.redraw?.('');
    this.#terminal.out(line);
  }
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}
