import { Agent, request } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { expectPrompt } from '../support/honest-reads.ts';

const GUESSES = 2_000;
const CONNECTIONS = 4;

/** Sends a request with this admin token. Returns its status. */
function statusOf(url: string, token: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const outgoing = request(url, { agent, headers }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode ?? 0));
    });
    outgoing.once('error', reject).end();
  });
}

test('guesses of the admin token are throttled, and leave few lines, while every honest call succeeds', async () => {
  const [ops, cloud] = ['canary-ops-token-0123', 'canary-cloud-token-0123'];
  const fleet = await startFleet({ replicas: 1, env: { ADMIN_TOKENS: `ops:${ops},cloud:${cloud}` } });
  const broker = fleet.broker(0);
  const session = await fleet.session('alice');
  expect((await broker.getToken(session, 'phone')).status).toBe(200);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS + 2 });
  onTestFinished(() => agent.destroy());
  const account = `${broker.adminUrl}/accounts/alice`;

  const guessed = new Map<number, number>();
  let left = GUESSES;
  const guess = async () => {
    while (left-- > 0) {
      const status = await statusOf(account, `canary-guess-${left}`, agent);
      guessed.set(status, (guessed.get(status) ?? 0) + 1);
    }
  };
  let isOver = false;
  const durations: number[] = [];
  const honest: number[] = [];
  const act = async () => {
    while (!isOver) {
      const startedAt = performance.now();
      honest.push((await broker.getToken(session, 'phone')).status);
      durations.push(performance.now() - startedAt);
      honest.push(await statusOf(account, honest.length % 4 === 1 ? ops : cloud, agent));
    }
  };
  const startedAt = performance.now();
  const acting = act();
  await Promise.all(Array.from({ length: CONNECTIONS }, guess));
  const seconds = (performance.now() - startedAt) / 1_000;
  isOver = true;
  await acting;

  await broker.stop();
  expect(guessed.get(401)).toBeLessThan(31 + seconds);
  expect((guessed.get(401) ?? 0) + (guessed.get(429) ?? 0)).toBe(GUESSES);
  expect(broker.log().filter((line) => line.includes('"reason":"wrong"')).length).toBeLessThan(seconds + 3);
  expect(honest.length).toBeGreaterThan(10);
  expect(new Set(honest)).toEqual(new Set([200]));
  expectPrompt(durations);
  expect(broker.log().join('\n')).not.toMatch(/canary-(guess|ops|cloud)/);
});
