import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';

const KNOWN = Array.from({ length: 10 }, (_, number) => `known-${number}`);
/** Of the attack that goes on. */
const ATTACK_MS = Number(process.env['HOSTILE_PIPELINING_MS'] ?? 3_000);
/** `npm run hostile` measures times. */
const isMeasured = process.env['HOSTILE_TIMES'] !== undefined;
const MAX_CPU_SECONDS = 0.5;
const MAX_GROWTH_MB = 100;
/** A tick of /proc, on every Linux that Node.js supports. */
const TICKS_PER_SECOND = 100;

/**
 * A stranger in a process of its own. Opens so many connections, sends these bytes on each in one write, and says so.
 * It goes on until the time is over, with a new connection for each that the broker closes.
 */
const STRANGER = `
  const { connect } = require('node:net');
  const [port, connections, bytes, forMs] = JSON.parse(process.argv[1]);
  let turn = 0;
  const end = performance.now() + forMs;
  let sent = 0;
  const attack = () => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(bytes[turn++ % bytes.length]);
      sent += 1;
      if (sent === connections) process.stdout.write('sent');
    });
    socket.on('error', () => {}).resume().once('close', () => {
      if (performance.now() < end) setTimeout(attack, 2_000 + 2_000 * Math.random());
    });
  };
  for (let number = 0; number < connections; number += 1) attack();
  setTimeout(() => process.exit(), Math.max(forMs, 2_000));
`;

interface Stranger {
  readonly url: string;
  readonly connections: number;
  /** Each connection sends one of them, in turn. */
  readonly bytes: readonly string[];
  readonly forMs: number;
}

/** Resolves when all has been sent once. */
async function startStranger({
  url,
  connections,
  bytes,
  forMs,
}: Stranger): Promise<{ readonly exit: Promise<unknown> }> {
  const args = JSON.stringify([Number(new URL(url).port), connections, bytes, forMs]);
  const child = spawn(process.execPath, ['-e', STRANGER, args], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill());
  const exit = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exit]);
  return { exit };
}

function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function peakMbOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;
}

async function runBroker(env: Readonly<Record<string, string>> = {}) {
  const fleet = await startFleet({ replicas: 1, env });
  onTestFinished(() => fleet.close());
  const broker = fleet.broker(0);
  const known = await Promise.all(KNOWN.map((unionId) => fleet.session(unionId)));
  for (let round = 0; round < 50; round += 1) {
    for (const session of known) expect((await broker.getToken(session, 'phone')).status).toBe(200);
  }
  return { fleet, broker, known };
}

type Running = Awaited<ReturnType<typeof runBroker>>;

/** Expects that a known token is read after the attack, and that the process has not grown much. */
async function expectLittleMemory({ broker, known }: Running, attack: () => Promise<unknown>): Promise<void> {
  const before = peakMbOf(broker.pid);
  await attack();
  expect((await broker.getToken(known[0] ?? '', 'phone')).status).toBe(200);
  const grown = peakMbOf(broker.pid) - before;
  if (isMeasured) process.stdout.write(`${grown.toFixed(0)} MB more\n`);
  expect(grown).toBeLessThan(MAX_GROWTH_MB);
}

/** The same, and that it took little CPU until then. */
async function expectCheap(running: Running, attack: () => Promise<unknown>): Promise<void> {
  const before = cpuSecondsOf(running.broker.pid);
  await expectLittleMemory(running, attack);
  const cpu = cpuSecondsOf(running.broker.pid) - before;
  if (isMeasured) process.stdout.write(`${cpu.toFixed(2)} s of CPU\n`);
  expect(cpu).toBeLessThan(isMeasured ? MAX_CPU_SECONDS : 2 * MAX_CPU_SECONDS);
}

const UNKNOWN = 'GET /x HTTP/1.1\r\nHost: x\r\n\r\n';

describe.skipIf(!existsSync('/proc/self/stat'))('62 requests in one write', () => {
  test.each([1_000, 3_000])('cost next to nothing on each of %i connections', async (connections) => {
    const running = await runBroker();
    const { url } = running.broker;
    await expectCheap(running, () => startStranger({ url, connections, bytes: [UNKNOWN.repeat(62)], forMs: 0 }));
  });

  test.each([1_000, 3_000])(
    'keep no honest read from its answer while %i connections go on with that',
    async (connections) => {
      const { broker, known } = await runBroker();
      const bytes = [UNKNOWN.repeat(62)];
      const { exit } = await startStranger({ url: broker.url, connections, bytes, forMs: ATTACK_MS });
      await readDuring(broker, known, () => exit);
    },
  );

  test.each([2, 62])('of which the first waits for the vendor do not fill a small heap: %i requests', async (count) => {
    const running = await runBroker({ NODE_OPTIONS: '--max-old-space-size=256' });
    const { fleet, broker } = running;
    fleet.vendor.configure({ latencyMs: 4_000 });
    const bytes = await Promise.all(
      Array.from({ length: 30 }, async (_, number) => {
        const session = await fleet.session(`waiting-${number}`);
        const read = `GET /sdk-token?uniqueId=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${session}\r\n\r\n`;
        return read + UNKNOWN.repeat(count - 1);
      }),
    );
    const attack = () => startStranger({ url: broker.url, connections: 1_740, bytes, forMs: 0 });
    await expectLittleMemory(running, attack);
  });
});
