import { setImmediate } from 'node:timers/promises';
import { beforeEach, expect, it } from 'vitest';
import { questionQueue } from '../../../src/session/session-server.ts';
import { accountId } from '../../../src/token/subject.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

let started: string[];
/** Answers a question, by its name. */
let answer: Map<string, () => void>;
let time: ReturnType<typeof virtualClock>;
let queue: ReturnType<typeof questionQueue>;

beforeEach(() => {
  started = [];
  answer = new Map();
  time = virtualClock();
  queue = questionQueue(time.clock);
});

/**
 * @param account the account, if the session was accepted before
 * @returns the outcome: `answered`, or the error and the reason for the log
 */
function ask(name: string, account?: string): Promise<string> {
  const question = () => {
    started.push(name);
    return new Promise<string>((resolve) => void answer.set(name, () => resolve('answered')));
  };
  return queue
    .run(question, account === undefined ? undefined : accountId(account))
    .catch(({ code, retryAfter, cause }) => `${code}, ${retryAfter}: ${cause.message}`);
}

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

async function answerAll(of: readonly string[]): Promise<void> {
  for (const name of of) answer.get(name)?.();
  // A place becomes free one turn of the event loop after its answer.
  await time.pass(0);
}

it('at most 48 questions about unknown sessions and 64 in all are in flight', async () => {
  const unknown = names('unknown', 60);
  const known = names('known', 40);
  const outcomes = [...unknown.map((name) => ask(name)), ...known.map((name) => ask(name, name))];
  await setImmediate();
  expect(started).toEqual([...unknown.slice(0, 48), ...known.slice(0, 16)]);

  await answerAll(started.slice(0, 10));
  expect(started.slice(64)).toEqual(known.slice(16, 26));
  await answerAll(known);
  expect(started.slice(64)).toEqual(known.slice(16));
  await answerAll(known);
  expect(started.slice(64)).toEqual([...known.slice(16), ...unknown.slice(48, 58)]);
  await answerAll([...unknown, ...known]);
  await answerAll(unknown);
  expect(await Promise.all(outcomes)).toEqual(Array(100).fill('answered'));
  expect(time.pending()).toBe(0);
});

it('at most 8 questions about known sessions of one account are in flight, and leave the places to the others', async () => {
  const [ofAlice, ofBob, unknown] = [names('alice', 50), names('bob', 50), names('unknown', 48)];
  for (const name of ofAlice) void ask(name, 'alice');
  for (const name of ofBob) void ask(name, 'bob');
  for (const name of unknown) void ask(name);
  const first = [...ofAlice.slice(0, 8), ...ofBob.slice(0, 8), ...unknown.slice(0, 32)];
  expect(started).toEqual(first);
  await answerAll(['unknown-0', 'bob-0', 'alice-0']);
  expect(started.slice(first.length).toSorted()).toEqual(['alice-8', 'bob-8', 'unknown-32']);
  // Those that have waited count like the others.
  await answerAll(['unknown-1', 'bob-1', 'alice-1']);
  expect(started.slice(first.length + 3).toSorted()).toEqual(['alice-9', 'bob-9', 'unknown-33']);
});

it('a question that waits for 2 s fails, and is not asked later', async () => {
  const first = names('first', 48);
  for (const name of first) void ask(name);
  const late = names('late', 48).map((name) => ask(name));
  await time.pass(1_999);
  expect(time.pending()).toBe(48);
  await time.pass(1);
  expect(await Promise.all(late)).toEqual(
    Array(48).fill('session_check_unavailable, 2: A question waited for 2000 ms'),
  );
  await answerAll(first);
  const next = ask('next');
  expect(started).toEqual([...first, 'next']);
  await answerAll(['next']);
  expect(await next).toBe('answered');
});

it('at most 1,000 questions about unknown sessions wait; then known sessions still wait for their own places', async () => {
  for (const name of names('unknown', 48 + 1_000)) void ask(name);
  const refused = 'session_check_unavailable, 2: Too many questions wait';
  expect(await ask('one too many')).toBe(refused);
  for (const name of names('known', 16 + 1_000)) void ask(name, name);
  await setImmediate();
  expect(started).toHaveLength(64);
  expect(await ask('one too many', 'alice')).toBe(refused);
  expect(time.pending()).toBe(2_000);
});

it('a question that fails frees its place', async () => {
  const fail = () => queue.run(() => Promise.reject(new Error('no answer'))).catch((error) => error.message);
  const outcomes = Promise.all(Array.from({ length: 200 }, fail));
  await time.pass(0);
  expect(new Set(await outcomes)).toEqual(new Set(['no answer']));
  void ask('next');
  expect(started).toEqual(['next']);
});
