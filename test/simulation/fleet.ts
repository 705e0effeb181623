import type { Fault } from '../judge/recording.ts';
import { Replica } from './replica.ts';
import type { World } from './world.ts';

type Surroundings = Pick<World, 'scenario' | 'time' | 'recorder' | 'server' | 'store' | 'vendor' | 'cloud' | 'note'>;

/** Unanswered commands within this time are one fault. */
const SILENCE_MS = 100;

/** The replicas that run. */
export class Fleet {
  readonly #options: Surroundings;
  readonly #silences = new Map<number, Fault>();
  #current: Replica[] = [];

  constructor(options: Surroundings) {
    this.#options = options;
  }

  start(): void {
    const { scenario, time, recorder, server, store, vendor, cloud, note } = this.#options;
    const { random } = time;
    const [shortestMs, longestMs] = scenario.storeDelayMs;
    const number = recorder.replicas;
    recorder.replicas += 1;
    const lost = { kind: 'lost-message', replica: number, description: '' } as const;
    this.#current.push(
      new Replica({
        number,
        time,
        server,
        vendor,
        cloud,
        network: {
          lossRate: scenario.lossRate,
          announcementLossRate: scenario.announcementLossRate,
          delayMs: () => shortestMs + random() * (longestMs - shortestMs),
          onLoss: () => recorder.fault(lost),
          onUnanswered: () => this.#unanswered(number),
          onHeard: (message) => store.heard(message, number),
        },
        skewMs: Math.round((random() * 2 - 1) * scenario.skewMs),
        vendorTimeoutMs: scenario.vendorTimeoutMs,
        maxLoginsPerSecond: scenario.maxLoginsPerSecond,
        onLog: (by, message) => note(`${by} logs: ${message}`),
      }),
    );
    if (number >= scenario.replicas) recorder.fault({ kind: 'start', replica: number, description: '' });
  }

  /** Notes that Redis does not answer a replica: one fault for all commands of a short time. */
  #unanswered(replica: number): void {
    const { recorder } = this.#options;
    const now = recorder.now();
    const last = this.#silences.get(replica);
    if (last && now - last.until < SILENCE_MS) last.until = now;
    else this.#silences.set(replica, recorder.fault({ kind: 'unanswered', replica, description: '' }));
  }

  get all(): readonly Replica[] {
    return this.#current;
  }

  /** Apps no longer reach the replica. */
  remove(replica: Replica): void {
    this.#current = this.#current.filter((other) => other !== replica);
  }

  /** Those that run now. */
  get running(): readonly Replica[] {
    return this.#current.filter(({ process }) => process.alive && process.frozenUntil <= this.#options.time.now);
  }

  /** One of those that apps reach now. */
  pick(): Replica | undefined {
    const ready = this.running.filter(({ isReady }) => isReady);
    return ready[Math.floor(this.#options.time.random() * ready.length)];
  }
}
