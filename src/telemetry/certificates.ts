import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Duplex } from 'node:stream';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import type { Clock } from '../token/clock.ts';
import type { ReplicaFacts } from './finding-facts.ts';

/**
 * On the first, undici tells of each connection: to the vendor, the session server, the published keys, a proxy. On the
 * second, the store does the same.
 */
const CHANNELS = ['undici:client:connected', 'sdk-token-broker:redis:connected'];
/** Number of servers whose certificates are remembered. */
const MAX_HOSTS = 100;
/** So long after the last connection to a server, nobody needs it any more. */
const FORGOTTEN_MS = 24 * 60 * 60_000;

/** The certificates of the servers that this process has connected to: the last one of each. */
export class Certificates {
  readonly #clock: Clock;
  /** With the time at which the connection ended, by the monotonic clock. */
  readonly #byHost = new Map<string, { readonly endsAt: number; closedAt: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
    for (const channel of CHANNELS) subscribe(channel, this.#note);
  }

  readonly #note = (message: unknown): void => {
    const { connectParams, socket } = message as { connectParams: { host: string }; socket: Duplex };
    const { host } = connectParams;
    if (!(socket instanceof TLSSocket)) return;
    const { valid_to: end }: Partial<PeerCertificate> = socket.getPeerCertificate();
    // A resumed session may have none: it goes on with that of an earlier connection.
    const endsAt = end === undefined ? this.#byHost.get(host)?.endsAt : Date.parse(end);
    if (endsAt === undefined) return;
    const noted = { endsAt, closedAt: Number.POSITIVE_INFINITY };
    this.#byHost.delete(host);
    this.#byHost.set(host, noted);
    for (const oldest of [...this.#byHost.keys()].slice(0, -MAX_HOSTS)) this.#byHost.delete(oldest);
    socket.once('close', () => {
      noted.closedAt = this.#clock.monotonic();
    });
  };

  seen(): ReplicaFacts['certificates'] {
    const used = [...this.#byHost].filter(([, { closedAt }]) => this.#clock.monotonic() - closedAt < FORGOTTEN_MS);
    return used.map(([host, { endsAt }]) => ({ host, endsAt }));
  }

  stop(): void {
    for (const channel of CHANNELS) unsubscribe(channel, this.#note);
  }
}
