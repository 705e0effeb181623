import type { Clock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import { Circuit } from './circuit.ts';
import { ClockOffset } from './clock-offset.ts';

export interface DomainsOptions {
  readonly baseUrl: URL;
  /** Other domains by country. */
  readonly regionUrls: ReadonlyMap<string, URL>;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
}

/** What is known of a server of the vendor's. */
interface Server {
  readonly offset: ClockOffset;
  readonly circuit: Circuit;
}

export interface Domain extends Server {
  readonly url: URL;
}

/** The vendor's domains. Countries on the same origin share one server's clock and circuit. */
export class Domains {
  readonly #home: Domain;
  readonly #abroad: ReadonlyMap<string, Domain>;

  constructor(options: DomainsOptions) {
    const servers = new Map<string, Server>();
    const domainAt = (url: URL): Domain => {
      const server = servers.get(url.origin) ?? newServer(url, options);
      servers.set(url.origin, server);
      return { url, ...server };
    };
    this.#home = domainAt(options.baseUrl);
    this.#abroad = new Map([...options.regionUrls].map(([region, url]) => [region, domainAt(url)]));
  }

  /** Where accounts of the country log in. */
  of(region: string): Domain {
    return this.#abroad.get(region) ?? this.#home;
  }
}

function newServer({ host }: URL, { clock, log, observer }: DomainsOptions): Server {
  const circuit = new Circuit(clock, (circuitState) => {
    observer.circuitChanged(host, circuitState);
    log.warn({ host, circuitState }, 'vendor’s circuit has changed');
  });
  observer.circuitChanged(host, circuit.status);
  const offset = new ClockOffset((level, offsetMs) => {
    log[level]({ host, offsetMs }, 'vendor’s clock and ours differ: signatures follow the vendor’s; check this host’s');
  });
  return { offset, circuit };
}
