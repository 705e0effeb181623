import { once } from 'node:events';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis } from '../../../../../src/store/redis/connection/connection.ts';
import { StoreTimeout, systemClock } from '../../../../../src/token/clock.ts';
import { subjectId } from '../../../../../src/token/subject.ts';
import { openRedisStore } from '../../../../support/filled-store.ts';
import { recordingObserver } from '../../../../support/recording-observer.ts';
import { redisClient } from '../../../../support/redis-client.ts';
import { openAnnouncements } from '../../../../support/redis-connections.ts';
import { startRedis } from '../../../../support/redis-server.ts';

const ID = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
/** Longer than the timeout of a command and the time that a renewal waits for the store, which are 180 ms. */
const STANDSTILL_MS = 250;
/** Longer than the time after which a silent connection ends, which is 2 s. */
const LONG_STANDSTILL_MS = 2_200;

/** Waits for two answers of Redis, one after the other, and then for the rest of the standstill. */
const WATCHER = `
  const { parentPort, workerData: { port, state, standstillMs } } = require('node:worker_threads');
  const socket = require('node:net').connect(port, '127.0.0.1');
  let beganAt = 0;
  let answers = 0;
  parentPort.on('message', () => {
    beganAt = performance.now();
    answers = 0;
    socket.write('PING\\r\\n');
  });
  socket.on('data', () => {
    answers += 1;
    if (answers < 2) return socket.write('PING\\r\\n');
    setTimeout(() => {
      Atomics.store(state, 0, 1);
      Atomics.notify(state, 0);
    }, beganAt + standstillMs - performance.now());
  });
`;

/** Stops the event loop of this process until Redis has answered everything that it was asked before. */
function startWatcher(port: number, standstillMs: number): () => void {
  const state = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(WATCHER, { eval: true, workerData: { port, state, standstillMs } });
  onTestFinished(async () => void (await worker.terminate()));
  return () => {
    Atomics.store(state, 0, 0);
    worker.postMessage('');
    Atomics.wait(state, 0, 0);
  };
}

/** A store that is connected, and the function that stops the event loop of this process. */
async function connectedStore(standstillMs: number) {
  const server = await startRedis();
  const { observer, told } = recordingObserver();
  const store = await openRedisStore(server.url, 'standstill', [], { observer });
  const errorsBefore = told('redisFailed').length;
  const failures = () => told('redisFailed').slice(errorsBefore);
  return { store, failures, standStill: startWatcher(server.port, standstillMs) };
}

test('a process that stands still does not take that for a failure of Redis: it reads first what has arrived', async () => {
  const { store, failures, standStill } = await connectedStore(STANDSTILL_MS);
  for (let round = 0; round < 10; round += 1) {
    const answers = [
      store.terminals.read(ID),
      new StoreTimeout(systemClock, 180).wait(store.terminals.acquire(ID, 5_000)),
      store.health.ping().then(() => true),
    ];
    // The commands are sent after this turn of the event loop.
    await nextTurn();
    await nextTurn();
    standStill();
    expect(await Promise.all(answers)).not.toContain(undefined);
  }
  expect(failures()).toEqual([]);
});

test('a process that stands still for longer does not end the connection, so the next requests find it', async () => {
  const { store, failures, standStill } = await connectedStore(LONG_STANDSTILL_MS);
  const ping = () => store.health.ping().then(() => true);
  const first = ping();
  // The command is sent after this turn of the event loop.
  await nextTurn();
  await nextTurn();
  standStill();
  await nextTurn();
  expect(await Promise.all([first, ping()])).toEqual([true, true]);
  expect(failures()).toEqual([]);
});

test('a standstill at the end of a long silence does not end the connection: the answer is read first', async () => {
  const server = await startRedis();
  const operator = redisClient(server.url);
  const standStill = startWatcher(server.port, 700);
  const client = connectRedis(server.url, 'commands', { info: () => undefined, warn: () => undefined });
  onTestFinished(() => client.disconnect());
  let ends = 0;
  client.on('close', () => {
    ends += 1;
  });
  await once(client, 'connect');
  // The silence is counted in parts of 500 ms from here. The fifth one ends 2,100 ms after the command.
  await sleep(900);
  await operator.client('PAUSE', 1_800, 'ALL');
  const answer = client.get('key');
  await sleep(1_780);
  // Timers that are due after this turn come before what has arrived.
  await nextTurn();
  standStill();
  expect(await answer).toBeNull();
  // The end of a connection would come after its last answer.
  await sleep(100);
  expect(ends).toBe(0);
});

test('a standstill does not end the connection for announcements: the heartbeat that has arrived is read first', async () => {
  const server = await startRedis();
  const { commands, subscriber, untilComplete } = openAnnouncements(server.url);
  await untilComplete();
  let ends = 0;
  subscriber.on('close', () => {
    ends += 1;
  });
  const { _handle: socket } = subscriber.stream as unknown as { _handle: { readStop(): void; readStart(): void } };
  // Redis accepts the next heartbeat. It arrives, but this process stands still before it reads it.
  socket.readStop();
  await once((commands as Redis).stream, 'data');
  await nextTurn();
  socket.readStart();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_100);
  await sleep(100);
  expect(ends).toBe(0);
});
