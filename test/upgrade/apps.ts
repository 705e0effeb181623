import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RecordedRequests } from '../history/recorded-requests.ts';
import type { Replica } from '../history/replica.ts';
import { watchMachine } from '../history/run.ts';
import { User } from '../history/users.ts';
import { VENDOR_LATENCY_MS, type World } from '../history/world.ts';
import type { Terminal } from '../judge/recording.ts';
import { Chance } from '../support/chance.ts';
import { failedCommands } from '../support/fleet.ts';

const USERS = 4;
const READERS = 12;
const LEAVERS = 3;
const READ_EVERY_MS = 150;
const READS_OF_SESSION = 10;
const LOOK_EVERY_MS = 250;

/** A time of the history in which a replica could not ask Redis, as its metrics show. */
export interface LateRedis {
  readonly from: number;
  readonly until: number;
}

/** Whether the account only reads, so that it logs in for renewals alone. */
export function isReader(account: string): boolean {
  return account.startsWith('reader-');
}

/** Whether the account logs out again and again, half of the time while a login is in flight. */
export function isLeaver(account: string): boolean {
  return account.startsWith('leaver-');
}

/**
 * Starts the users of `npm run history`, and beside them apps that only read, and apps that log out, also during a
 * login, and then read on all replicas at once.
 * @returns the function that ends them, and then asks every replica for the token and the account of every terminal.
 *   It returns when Redis was late.
 */
export function startApps(world: World, seed: number): () => Promise<readonly LateRedis[]> {
  const requests = new RecordedRequests(world);
  const chance = new Chance(seed);
  const over = new AbortController();
  // Each user that waits adds a listener.
  setMaxListeners(0, over.signal);
  const users = Array.from({ length: USERS }, (_, number) => new User(world, requests, chance.fork(), number + 1));
  const readers = terminals('reader', READERS);
  const leavers = terminals('leaver', LEAVERS);
  const up = () => world.replicas.filter(({ isUp }) => isUp).map(({ index }) => index);
  /** The replicas in turn. */
  const replica = (turn: number) => up()[turn % up().length] ?? 0;

  const act = async (terminal: Terminal, leaves: boolean) => {
    let session = await requests.openSession(terminal.account);
    for (let turn = 0; !over.signal.aborted; turn += 1) {
      if (turn % READS_OF_SESSION === 0) session = await requests.openSession(terminal.account);
      if (leaves) {
        await requests.logOut(terminal, session, replica(turn + 1));
        // The second logout ends the login that the read has begun.
        const interrupted = requests.read(terminal, session, replica(turn));
        await sleep(VENDOR_LATENCY_MS / 2);
        await requests.logOut(terminal, session, replica(turn + 1));
        await interrupted;
        await Promise.all(up().map((index) => requests.read(terminal, session, index)));
      }
      await requests.read(terminal, session, replica(turn));
      await sleep(READ_EVERY_MS);
    }
  };
  const late: LateRedis[] = [];
  const acting = [
    watchMachine(world, over.signal),
    ...world.replicas.map((replica) => watchRedis(world, replica, over.signal, late)),
    ...users.map((user) => user.run(over.signal)),
    ...readers.map((terminal) => act(terminal, false)),
    ...leavers.map((terminal) => act(terminal, true)),
  ];
  return async () => {
    over.abort();
    await Promise.all(acting);
    for (const terminal of [...users.flatMap((user) => user.terminals), ...readers, ...leavers]) {
      const session = await requests.openSession(terminal.account);
      for (const { index } of world.replicas) {
        await Promise.all([requests.read(terminal, session, index, true), requests.find(terminal.account, index)]);
      }
    }
    return late;
  };
}

/** Notes each time between two looks in which commands of this replica failed. */
async function watchRedis({ history }: World, replica: Replica, signal: AbortSignal, late: LateRedis[]): Promise<void> {
  let seen = { from: history.now(), url: '', failures: 0 };
  for (; !signal.aborted; await sleep(LOOK_EVERY_MS)) {
    const url = replica.urls?.internal ?? seen.url;
    const from = history.now();
    // A process that is ending gives no answer.
    const failures = await failedCommands(url, ['timeout', 'not_sent', 'connection']).catch(() => undefined);
    if (failures === undefined) continue;
    if (failures > (url === seen.url ? seen.failures : 0)) late.push({ from: seen.from, until: history.now() });
    seen = { from, url, failures };
  }
}

function terminals(name: string, count: number): Terminal[] {
  return Array.from({ length: count }, (_, number) => ({ account: `${name}-${number}`, uniqueId: 'phone' }));
}
