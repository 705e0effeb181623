import type { Announcement } from '../../src/token/ports.ts';
import type { LoginFact } from './facts.ts';
import { Replica } from './replica.ts';
import type { Scenario } from './scenario.ts';
import type { StoreServer } from './store-server.ts';
import type { VendorModel } from './vendor-model.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface FleetOptions {
  readonly scenario: Scenario;
  readonly time: VirtualTime;
  readonly server: StoreServer;
  readonly vendor: VendorModel;
  readonly onLogin: (login: LoginFact) => void;
  /** Called when a message of a replica to or from the store was lost or too late. */
  readonly onLoss: () => void;
  readonly onHeard: (announcement: Announcement, name: string) => void;
  readonly note: (line: string) => void;
}

/** The replicas that run, and those that have ended. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #all = new Map<string, Replica>();
  #current: Replica[] = [];

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  start(): Replica {
    const { scenario, time, server, vendor, onLogin, onLoss, onHeard, note } = this.#options;
    const { random } = time;
    const [shortestMs, longestMs] = scenario.storeDelayMs;
    const name = `replica-${this.#all.size}`;
    const replica = new Replica({
      name,
      time,
      server,
      vendor,
      network: {
        lossRate: scenario.lossRate,
        announcementLossRate: scenario.announcementLossRate,
        delayMs: () => shortestMs + random() * (longestMs - shortestMs),
        onLoss,
        onHeard: (announcement) => onHeard(announcement, name),
      },
      skewMs: Math.round((random() * 2 - 1) * scenario.skewMs),
      vendorTimeoutMs: scenario.vendorTimeoutMs,
      maxLoginsPerSecond: scenario.maxLoginsPerSecond,
      onLogin,
      onLog: (by, message) => note(`${by} logs: ${message}`),
    });
    this.#all.set(name, replica);
    this.#current.push(replica);
    return replica;
  }

  /** A replica that runs or has ended. */
  find(name: string): Replica | undefined {
    return this.#all.get(name);
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
    const ready = this.running.filter(({ connection }) => connection.isReady);
    return ready[Math.floor(this.#options.time.random() * ready.length)];
  }
}
