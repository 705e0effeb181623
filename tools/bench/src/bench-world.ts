import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { startVendorSimulator, type VendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { NODE_FLAGS } from '../../../test/support/broker-process.ts';
import { madeUpToken } from '../../../test/support/made-up-tokens.ts';
import { plainRequest } from '../../../test/support/plain-request.ts';
import { type RedisServer, startRedis } from '../../../test/support/redis-server.ts';
import { brokerEnvironment, fillBrokerStore, forEachSubject, newSubjects } from './broker-setup.ts';
import { SERVER_CORE } from './cores.ts';
import { asyncCacheDedupe, naive } from './peers/caches.ts';
import { peerToken } from './peers/peer.ts';
import { type Server, startServer } from './server.ts';
import { BenchSessions } from './sessions.ts';

/** In the order of the tables. */
export const PEERS = ['naive', 'async-cache-dedupe', 'broker'] as const;
export type PeerName = (typeof PEERS)[number];

/** Headers that differ per request or per connection. Each peer's own server sets them. */
const SERVER_HEADERS = ['date', 'connection', 'keep-alive', 'content-length'];

/** The parts that all peers share: Redis, vendor, sessions, and an answer of the broker that the peers imitate. */
export class BenchWorld {
  readonly sessions = new BenchSessions();
  readonly redis: RedisServer;
  readonly vendor: VendorSimulator;
  readonly #folder: string;
  #answer: Record<string, string> | undefined;

  private constructor(redis: RedisServer, vendor: VendorSimulator, folder: string) {
    this.redis = redis;
    this.vendor = vendor;
    this.#folder = folder;
  }

  /** Runs `use` with a new Redis and a new vendor, and stops both. */
  static async with<T>(use: (world: BenchWorld) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'sdk-token-broker-bench-'));
    const redis = await startRedis();
    const vendor = await startVendorSimulator();
    try {
      return await use(new BenchWorld(redis, vendor, folder));
    } finally {
      await Promise.all([vendor.close(), redis.stop(), rm(folder, { recursive: true })]);
    }
  }

  /** Starts a broker. The caller stops it. @param node path of another version of Node.js @param flags more of its flags */
  startBroker(cores: string = SERVER_CORE, node?: string, flags: readonly string[] = []): Promise<Server> {
    return startServer(
      [...NODE_FLAGS, ...flags, 'dist/main.js', 'serve'],
      { ...brokerEnvironment, ...this.#env },
      cores,
      node,
    );
  }

  /** Starts a process of this peer. The caller stops it. */
  async start(peer: PeerName, cores: string = SERVER_CORE): Promise<Server> {
    if (peer === 'broker') return this.startBroker(cores);
    this.#answer ??= await this.#askBroker();
    return startServer(['tools/bench/dist/serve.js', peer], { ...this.#env, ...this.#answer }, cores);
  }

  get #env() {
    return { REDIS_URL: this.redis.url, ...this.sessions.env, VENDOR_BASE_URL: this.vendor.url };
  }

  /** Runs `use` with one running process per peer, and stops them. */
  async withServers<Name extends PeerName, T>(
    peers: readonly Name[],
    use: (servers: Readonly<Record<Name, Server>>) => Promise<T>,
  ): Promise<T> {
    const servers: [Name, Server][] = [];
    try {
      for (const peer of peers) servers.push([peer, await this.start(peer)]);
      return await use(Object.fromEntries(servers) as Record<Name, Server>);
    } finally {
      await Promise.all(servers.map(([, server]) => server.stop()));
    }
  }

  /** Writes a token for each subject into Redis, in the format of this peer. */
  async fill(peer: PeerName, subjects: readonly Subject[]): Promise<void> {
    const redisUrl = this.redis.url;
    if (peer === 'broker') return fillBrokerStore(redisUrl, subjects);
    const login = async () => peerToken(madeUpToken());
    const verify = async () => ({ unionId: '', region: '' });
    const cache = (peer === 'naive' ? naive : asyncCacheDedupe)({ redisUrl, login, verify });
    await forEachSubject(subjects, (subject) => cache.read({ ...subject, region: 'DE' }));
    await cache.close();
  }

  /** Writes a list of requests into a file. Returns its path. */
  async writeList(requests: readonly string[]): Promise<string> {
    const list = join(this.#folder, 'requests');
    await pipeline(requests, createWriteStream(list));
    return list;
  }

  /** Writes a list with a request of each subject, and its token for each of these peers. */
  async prepare(peers: readonly PeerName[], subjects: readonly Subject[]): Promise<string> {
    for (const peer of peers) await this.fill(peer, subjects);
    return this.writeList(subjects.map((subject) => this.sessions.requestOf(subject)));
  }

  /** Settings of a peer that imitates an answer of the broker. */
  async #askBroker(): Promise<Record<string, string>> {
    const [subject] = newSubjects(1) as [Subject];
    await this.fill('broker', [subject]);
    return this.withServers(['broker'], async ({ broker }) => {
      const authorization = `Bearer ${this.sessions.of(subject)}`;
      const url = `${broker.url}/sdk-token?uniqueId=${subject.uniqueId}`;
      const { headers } = await plainRequest(url, { headers: { authorization } });
      const imitated = Object.entries(headers).filter(([name]) => !SERVER_HEADERS.includes(name));
      return { ANSWER_HEADERS: JSON.stringify(Object.fromEntries(imitated)) };
    });
  }
}
