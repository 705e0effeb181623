import { BrokerError } from '../../src/token/errors.ts';
import type { Principal, SessionVerifier } from '../../src/token/principal.ts';
import type { VirtualProcess } from './virtual-time.ts';
import type { World } from './world.ts';

/** A question or an answer is under way for so long at most. */
const LONGEST_DELAY_MS = 40;
const SESSION_LIFE_MS = 86_400_000;

/** The customer cloud: opens and ends sessions, and answers the broker's questions about them. */
export class CloudModel {
  readonly #options: Pick<World, 'scenario' | 'time'>;
  readonly #ended = new Set<string>();

  constructor(options: Pick<World, 'scenario' | 'time'>) {
    this.#options = options;
  }

  /** The time of issue of a session that begins now, as the cloud's own clock says it. */
  issuedNow(): number {
    const { scenario, time } = this.#options;
    return Math.ceil(time.now) + 1 + scenario.cloudAheadMs;
  }

  /** The session of an app that was issued at a time. */
  sessionOf(account: string, uniqueId: string, issuedAt: number): string {
    return [account, uniqueId, issuedAt].join(' ');
  }

  end(sessions: readonly string[]): void {
    for (const session of sessions) this.#ended.add(session);
  }

  /** How a replica asks about sessions. */
  verifierFor(process: VirtualProcess): SessionVerifier {
    return { verify: (session) => this.#asked(session, process) };
  }

  #asked(session: string, process: VirtualProcess): Promise<Principal> {
    const { time } = this.#options;
    const delayMs = () => time.random() * LONGEST_DELAY_MS;
    return new Promise((resolve, reject) => {
      time.after(delayMs(), () => {
        const [unionId = '', , issuedAt] = session.split(' ');
        const isEnded = this.#ended.has(session);
        const principal = { unionId, region: 'CN', app: undefined, issuedAt: Number(issuedAt) };
        const expiresAt = Number(issuedAt) + SESSION_LIFE_MS;
        const answer = isEnded
          ? () => reject(new BrokerError('session_invalid'))
          : () => resolve({ ...principal, expiresAt });
        time.after(delayMs(), answer, process);
      });
    });
  }
}
