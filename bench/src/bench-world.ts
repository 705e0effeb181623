import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NODE_FLAGS } from '../../test/support/broker-process.ts';
import { plainRequest } from '../../test/support/plain-request.ts';
import type { RedisServer } from '../../test/support/redis-server.ts';
import { brokerEnvironment, fillBrokerStore } from './broker-setup.ts';
import { BOTH_CORES, SERVER_CORE } from './processes/cores.ts';
import { startBenchRedis } from './processes/redis.ts';
import { compiled, ROOT } from './processes/repository.ts';
import { type BenchVendor, type Server, startBenchVendor, startServer } from './processes/server.ts';
import { BenchSessions, type SessionAlgorithm } from './sessions.ts';
import { type BenchSubject, newSubjects, writeSubjects } from './subjects.ts';

/** All peers, in the order of the tables. */
export const PEERS = ['bare', 'naive', 'async-cache-dedupe', 'bentocache', 'broker'] as const;
export type PeerName = (typeof PEERS)[number];

/** The peers that store tokens. */
export const CACHES = ['naive', 'async-cache-dedupe', 'bentocache', 'broker'] as const satisfies PeerName[];

/** Headers that differ per request or per connection. Each peer's own server sets them. */
const SERVER_HEADERS = new Set(['date', 'connection', 'keep-alive', 'content-length']);

/** The parts that all peers share: Redis, vendor, sessions, and an answer of the broker that the peers imitate. */
export class BenchWorld {
  readonly sessions: BenchSessions;
  readonly redis: RedisServer;
  readonly vendor: BenchVendor;
  /** Folder for files. `with` removes it. */
  readonly folder: string;
  #answer: { readonly body: string; readonly headers: Record<string, string> } | undefined;

  private constructor(redis: RedisServer, vendor: BenchVendor, folder: string, algorithm?: SessionAlgorithm) {
    this.sessions = new BenchSessions(algorithm);
    this.redis = redis;
    this.vendor = vendor;
    this.folder = folder;
  }

  /** Runs `use` with a new Redis and a new vendor, and stops both. */
  static async with<T>(
    latencyMs: number,
    use: (world: BenchWorld) => Promise<T>,
    algorithm?: SessionAlgorithm,
  ): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'sdk-token-broker-bench-'));
    const redis = await startBenchRedis();
    const vendor = await startBenchVendor(latencyMs);
    try {
      return await use(new BenchWorld(redis, vendor, folder, algorithm));
    } finally {
      await Promise.all([vendor.stop(), redis.stop(), rm(folder, { recursive: true })]);
    }
  }

  /** Starts a process of this peer. The caller stops it. */
  async start(peer: PeerName, cores: string = SERVER_CORE): Promise<Server> {
    if (peer === 'broker') return this.#startBroker(cores);
    this.#answer ??= await this.#askBroker();
    const { body, headers } = this.#answer;
    const env = { ...this.#environment(), ANSWER_BODY: body, ANSWER_HEADERS: JSON.stringify(headers) };
    return startServer({ args: [compiled(`peers/${peer}`)], env, cores });
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
  async fill(peer: PeerName, subjects: readonly BenchSubject[]): Promise<void> {
    if (peer === 'bare') return;
    if (peer === 'broker') return fillBrokerStore(this.redis.url, subjects);
    const file = join(this.folder, 'subjects');
    await writeFile(file, writeSubjects(subjects));
    const child = spawn(process.execPath, [compiled(`peers/${peer}`), 'fill', file], {
      cwd: ROOT,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { PATH: process.env['PATH'], ...this.#environment() },
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`${peer} could not write its tokens into Redis`);
  }

  #environment(): Record<string, string> {
    return { REDIS_URL: this.redis.url, VENDOR_BASE_URL: this.vendor.url, ...this.sessions.env };
  }

  #startBroker(cores: string): Promise<Server> {
    const env = { ...brokerEnvironment, ...this.#environment() };
    return startServer({ args: [...NODE_FLAGS, 'dist/main.js', 'serve'], env, cores });
  }

  async #askBroker() {
    const subjects = newSubjects(1);
    await this.fill('broker', subjects);
    const broker = await this.#startBroker(BOTH_CORES);
    const [subject] = subjects as [BenchSubject];
    const authorization = `Bearer ${this.sessions.of(subject)}`;
    const { headers, body } = await plainRequest(`${broker.url}/sdk-token?uniqueId=${subject.uniqueId}`, {
      headers: { authorization },
    });
    await broker.stop();
    const imitated = Object.entries(headers).filter(([name]) => !SERVER_HEADERS.has(name));
    return { body, headers: Object.fromEntries(imitated) as Record<string, string> };
  }
}
