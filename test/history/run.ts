import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Chance } from '../support/chance.ts';
import { playEpisode } from './episodes.ts';
import { Faults } from './faults.ts';
import type { Plan } from './plan.ts';
import { RecordedRequests } from './recorded-requests.ts';
import { User } from './users.ts';
import { untilReady, type World } from './world.ts';

const USERS = 14;
/** After the last fault, before every user reads once more. */
const SETTLE_MS = 15_000;

/** Half of the time after which Redis counts as down for a replica. */
const LAG_MS = 90;
const LOOK_EVERY_MS = 20;

/** Records when this process got no CPU for a while: neither did the replicas and Redis. */
export async function watchMachine({ history }: World, signal: AbortSignal): Promise<void> {
  for (let seenAt = history.now(); !signal.aborted; seenAt = history.now()) {
    await sleep(LOOK_EVERY_MS);
    const lagMs = history.now() - seenAt - LOOK_EVERY_MS;
    if (lagMs < LAG_MS) continue;
    const description = `no CPU for ${lagMs.toFixed(0)} ms`;
    history.faults.push({ kind: 'busy-machine', from: seenAt, until: history.now(), description });
  }
}

/** Plays the plan in the world, with users beside it, and ends with a read of every terminal on every replica. */
export async function playPlan(world: World, plan: Plan, chance: Chance, durationMs: number): Promise<void> {
  const requests = new RecordedRequests(world);
  const faults = new Faults(world);
  const users = Array.from({ length: USERS }, (_, number) => new User(world, requests, chance.fork(), number + 1));
  const over = new AbortController();
  // Each user that waits adds a listener.
  setMaxListeners(0, over.signal);
  const ended = new AbortController();
  const watching = watchMachine(world, ended.signal);
  const acting = users.map((user) => user.run(over.signal));
  const startedAt = performance.now();
  const elapsedMs = () => performance.now() - startedAt;
  const running: Promise<void>[] = [];
  for (const [number, event] of plan.events.entries()) {
    await sleep(Math.max(0, event.atMs - elapsedMs()));
    const eventChance = chance.fork();
    if ('fault' in event) running.push(faults.cause(event.fault));
    else {
      const parts = { world, requests, faults, chance: eventChance };
      running.push(playEpisode(event.episode, parts, `guest-${number + 1}`));
    }
  }
  await sleep(Math.max(0, durationMs - elapsedMs()));
  await Promise.all(running);
  await untilReady(world.replicas);
  await sleep(SETTLE_MS);
  over.abort();
  await Promise.all(acting);
  await Promise.all(users.map((user) => user.readFinally()));
  ended.abort();
  await watching;
}
