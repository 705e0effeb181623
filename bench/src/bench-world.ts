import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainRequest } from '../../test/support/plain-request.ts';
import type { RedisServer } from '../../test/support/redis-server.ts';
import { brokerEnvironment } from './broker-environment.ts';
import { compiled } from './build-peers.ts';
import { fillBrokerStore } from './fill-broker-store.ts';
import type { PeerName } from './peer-names.ts';
import { BOTH_CORES, SERVER_CORE } from './processes/cores.ts';
import { startBenchRedis } from './processes/redis.ts';
import { ROOT } from './processes/repository.ts';
import { type Server, startServer } from './processes/server.ts';
import { type BenchVendor, startBenchVendor } from './processes/vendor.ts';
import { BenchSessions } from './sessions.ts';
import { type BenchSubject, newSubjects, writeSubjects } from './subjects.ts';

/** What changes from request to request or belongs to a connection; the peers' own servers set it. */
const OWN_HEADERS = new Set(['date', 'connection', 'keep-alive', 'content-length']);

/** All that the peers share: a Redis, a vendor, sessions, and the broker's answer, which theirs are to look like. */
export class BenchWorld {
  readonly sessions = new BenchSessions();
  readonly redis: RedisServer;
  readonly vendor: BenchVendor;
  /** For files; gone in the end. */
  readonly folder: string;
  #answer: { readonly body: string; readonly headers: Record<string, string> } | undefined;

  private constructor(redis: RedisServer, vendor: BenchVendor, folder: string) {
    this.redis = redis;
    this.vendor = vendor;
    this.folder = folder;
  }

  /** Runs `use` in a world of its own, and ends what it left running. */
  static async with<T>(latencyMs: number, use: (world: BenchWorld) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'sdk-token-broker-bench-'));
    const redis = await startBenchRedis();
    const vendor = await startBenchVendor(latencyMs);
    try {
      return await use(new BenchWorld(redis, vendor, folder));
    } finally {
      await Promise.all([vendor.stop(), redis.stop(), rm(folder, { recursive: true })]);
    }
  }

  /** A peer's process, serving. */
  async start(peer: PeerName, cores: string = SERVER_CORE): Promise<Server> {
    if (peer === 'broker') return this.#startBroker(cores);
    this.#answer ??= await this.#askBroker();
    const { body, headers } = this.#answer;
    const env = { ...this.#environment(), ANSWER_BODY: body, ANSWER_HEADERS: JSON.stringify(headers) };
    return startServer({ args: [compiled(`peers/${peer}`)], env, cores });
  }

  /** Runs `use` while a process of each of these serves, and ends them. */
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

  /** Has a token stand in Redis for each subject, as the peer itself writes them. */
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
    if (code !== 0) throw new Error(`${peer} could not be filled`);
  }

  #environment(): Record<string, string> {
    return { REDIS_URL: this.redis.url, VENDOR_BASE_URL: this.vendor.url, ...this.sessions.env };
  }

  #startBroker(cores: string): Promise<Server> {
    const env = { ...brokerEnvironment, ...this.#environment() };
    return startServer({ args: ['dist/main.js', 'serve'], env, cores });
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
    const kept = Object.entries(headers).filter(([name]) => !OWN_HEADERS.has(name));
    return { body, headers: Object.fromEntries(kept) as Record<string, string> };
  }
}
