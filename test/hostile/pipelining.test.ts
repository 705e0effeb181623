import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { isMeasured, readDuring } from '../support/honest-reads.ts';
import { canMeasureGrowth, expectGrowthBelow } from './memory-growth.ts';

const KNOWN = Array.from({ length: 10 }, (_, number) => `known-${number}`);
/** Of the attack that goes on. */
const ATTACK_MS = Number(process.env['HOSTILE_PIPELINING_MS'] ?? 3_000);
/** On a busy machine, the same work takes up to 1 s. Without the bound of requests on a connection, it takes 7 s. */
const MAX_CPU_SECONDS = isMeasured ? 1 : 1.5;
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

const UNKNOWN = 'GET /x HTTP/1.1\r\nHost: x\r\n\r\n';

describe.runIf(canMeasureGrowth)('62 requests in one write', () => {
  let fleet: Fleet;
  let known: readonly string[];
  beforeAll(async () => {
    fleet = await startFleet({ replicas: 1, env: { NODE_OPTIONS: '--max-old-space-size=256' } });
    known = await Promise.all(KNOWN.map((unionId) => fleet.session(unionId)));
    for (let round = 0; round < 50; round += 1) await readAll();
  });
  afterAll(() => fleet.close());

  async function readAll(): Promise<void> {
    for (const session of known) expect((await fleet.broker(0).getToken(session, 'phone')).status).toBe(200);
  }

  test('on each of 3,000 connections cost next to nothing, and keep no honest read from its answer', async () => {
    const broker = fleet.broker(0);
    const attack = { url: broker.url, connections: 3_000, bytes: [UNKNOWN.repeat(62)], forMs: ATTACK_MS };
    const before = cpuSecondsOf(broker.pid);
    let exit: Promise<unknown> | undefined;
    await expectGrowthBelow(MAX_GROWTH_MB, broker, async () => {
      ({ exit } = await startStranger(attack));
      expect((await broker.getToken(known[0] ?? '', 'phone')).status).toBe(200);
    });
    const cpu = cpuSecondsOf(broker.pid) - before;
    if (isMeasured) process.stdout.write(`${cpu.toFixed(2)} s of CPU\n`);
    expect(cpu).toBeLessThan(MAX_CPU_SECONDS);
    await readDuring(broker, known, async () => exit);
  });

  test.each([2, 62])('of which the first waits for the vendor do not fill a small heap: %i requests', async (count) => {
    const broker = fleet.broker(0);
    fleet.vendor.configure({ latencyMs: 4_000 });
    onTestFinished(() => fleet.vendor.configure({ latencyMs: 0 }));
    const bytes = await Promise.all(
      Array.from({ length: 30 }, async (_, number) => {
        const session = await fleet.session(`waiting-${count}-${number}`);
        const read = `GET /sdk-token?uniqueId=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${session}\r\n\r\n`;
        return read + UNKNOWN.repeat(count - 1);
      }),
    );
    await expectGrowthBelow(MAX_GROWTH_MB, broker, async () => {
      await startStranger({ url: broker.url, connections: 1_740, bytes, forMs: 0 });
      await readAll();
    });
  });
});
