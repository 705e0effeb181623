import { setTimeout as sleep } from 'node:timers/promises';
import type { Exchange, Terminal } from '../judge/recording.ts';
import type { Chance } from '../support/chance.ts';
import { type Faults, type PlannedFault, planHow } from './faults.ts';
import type { EpisodeName } from './plan.ts';
import {
  heldToken,
  type RecordedRequests,
  SESSIONS_ENDS,
  type Session,
  type SessionsEnd,
  untilNextSecond,
} from './recorded-requests.ts';
import type { World } from './world.ts';

const REPLICA_NUMBERS = [0, 1, 2] as const;
/** How long guests look at the outcome. Longer than the bounds of the rules. */
const WATCH_MS = 15_000;
const WATCH_EVERY_MS = 700;

interface Parts {
  readonly world: World;
  readonly requests: RecordedRequests;
  readonly faults: Faults;
  readonly chance: Chance;
}

/** A user of an episode. It never reports a refused token, unless its episode says so. */
class Guest {
  readonly terminal: Terminal;
  readonly #requests: RecordedRequests;
  session: Session;

  private constructor(terminal: Terminal, requests: RecordedRequests, session: Session) {
    this.terminal = terminal;
    this.#requests = requests;
    this.session = session;
  }

  static async arrive({ requests }: Parts, name: string): Promise<Guest> {
    const terminal = { account: name, uniqueId: 'phone-1' };
    return new Guest(terminal, requests, await requests.openSession(name));
  }

  read(replica: number, session = this.session): Promise<Exchange> {
    return this.#requests.read(this.terminal, session, replica);
  }

  async readEverywhere(): Promise<void> {
    await Promise.all(REPLICA_NUMBERS.map((replica) => this.read(replica)));
  }

  logOut(replica: number): Promise<Exchange> {
    return this.#requests.logOut(this.terminal, this.session, replica);
  }

  /** Has its sessions ended, first at `replica`, and comes back with a new session. */
  async endSessions(kind: SessionsEnd, replica: number): Promise<Session> {
    const former = this.session;
    await this.#requests.endSessions(kind, this.terminal.account, (attempt) => (replica + attempt) % 3);
    await untilNextSecond();
    this.session = await this.#requests.openSession(this.terminal.account);
    return former;
  }

  async report(replica: number): Promise<void> {
    const held = heldToken(await this.read(replica));
    if (held) await this.#requests.report(this.terminal, this.session, replica, held);
  }

  /** Reads on all replicas for a while, also with a session that was ended. */
  async watch(former?: Session, forMs = WATCH_MS): Promise<void> {
    for (const until = performance.now() + forMs; performance.now() < until; await sleep(WATCH_EVERY_MS)) {
      await this.readEverywhere();
      if (!former) continue;
      await Promise.all(REPLICA_NUMBERS.map((replica) => this.read(replica, former)));
    }
  }

  find(replica: number): Promise<Exchange> {
    return this.#requests.find(this.terminal.account, replica);
  }
}

/**
 * Plays an episode: a few guests in an overlap of events that chance alone seldom makes. The seed decides its details.
 * @param name a prefix of the names of its accounts, which no other part of the run uses
 */
export function playEpisode(episode: EpisodeName, parts: Parts, name: string): Promise<void> {
  return EPISODES[episode](parts, name);
}

const EPISODES: Readonly<Record<EpisodeName, (parts: Parts, name: string) => Promise<void>>> = {
  'logout during a login without a lease': logOutDuringLoginWithoutLease,
  'two logins without a lease after a logout': logInTwiceAfterLogout,
  'report while Redis stalls': reportWhileRedisStalls,
  'erasure whose answer is lost': eraseThroughStalledLink,
  'clock set back before a logout elsewhere': logOutAfterClockJump,
  'old data after renewals and logouts': goBackInTime,
  'erasures during a planned failover': eraseDuringFailover,
};

function stall({ chance, world }: Parts, from: number, to: number): PlannedFault {
  const how = planHow(chance, 'redis-stall', world.topology);
  return { kind: 'redis-stall', how, forMs: Math.round(chance.between(from, to)) };
}

async function logOutDuringLoginWithoutLease(parts: Parts, name: string): Promise<void> {
  const { chance, faults } = parts;
  const guests = [await Guest.arrive(parts, `${name}-a`), await Guest.arrive(parts, `${name}-b`)];
  const slowVendor = faults.cause({ kind: 'vendor', how: 'slow', forMs: 4_500 });
  const stalled = faults.cause(stall(parts, 500, 900));
  await sleep(chance.between(50, 250));
  const logins = guests.map((guest) => guest.read(chance.whole(0, 2)));
  await stalled;
  await sleep(chance.between(600, 1_000));
  await Promise.all(
    guests.map(async (guest) => {
      const replica = chance.whole(0, 2);
      const former = chance.happens(0.5) ? await guest.endSessions(chance.pick(SESSIONS_ENDS), replica) : undefined;
      if (!former) await guest.logOut(replica);
      else await guest.find(replica);
      // The next login of the terminal would hide what became of the one in flight.
      await Promise.all([...logins, sleep(2_500)]);
      if (former) await guest.find(replica);
      await guest.watch(former, WATCH_MS - 3_000);
    }),
  );
  await slowVendor;
}

async function logInTwiceAfterLogout(parts: Parts, name: string): Promise<void> {
  const { chance, faults } = parts;
  const guests: Guest[] = [];
  for (const letter of ['a', 'b', 'c']) guests.push(await Guest.arrive(parts, `${name}-${letter}`));
  await Promise.all(guests.map((guest) => guest.readEverywhere()));
  await Promise.all(guests.map((guest) => guest.logOut(chance.whole(0, 2))));
  await sleep(chance.between(0, 1_500));
  const stalled = faults.cause(stall(parts, 600, 1_200));
  await sleep(100);
  await Promise.all(
    guests.map(async (guest) => {
      await Promise.all(
        REPLICA_NUMBERS.map((replica) => sleep(replica * chance.between(0, 100)).then(() => guest.read(replica))),
      );
    }),
  );
  await stalled;
  await Promise.all(guests.map((guest) => guest.watch()));
}

async function reportWhileRedisStalls(parts: Parts, name: string): Promise<void> {
  const { chance, faults } = parts;
  const guests = [await Guest.arrive(parts, `${name}-a`), await Guest.arrive(parts, `${name}-b`)];
  await Promise.all(guests.map((guest) => guest.readEverywhere()));
  const stalled = faults.cause(stall(parts, 400, 800));
  await sleep(chance.between(20, 150));
  await Promise.all(guests.map((guest) => guest.report(chance.whole(0, 2))));
  await stalled;
  await Promise.all(guests.map((guest) => guest.watch()));
}

async function eraseThroughStalledLink(parts: Parts, name: string): Promise<void> {
  const { chance, faults } = parts;
  const guest = await Guest.arrive(parts, `${name}-a`);
  await guest.readEverywhere();
  const replica = chance.whole(0, 2);
  const stalled = faults.cause({ kind: 'link', replica, how: 'stall', forMs: chance.whole(2_600, 4_000) });
  await sleep(50);
  const former = await guest.endSessions('erasure', replica);
  await guest.readEverywhere();
  await stalled;
  await guest.watch(former, 8_000);
}

async function logOutAfterClockJump(parts: Parts, name: string): Promise<void> {
  const { chance, faults } = parts;
  const replica = chance.whole(0, 2);
  const guests = [await Guest.arrive(parts, `${name}-a`), await Guest.arrive(parts, `${name}-b`)];
  await Promise.all(guests.map((guest) => guest.readEverywhere()));
  const jumped = faults.cause({ kind: 'clock', replica, offsetMs: -1_000 * chance.whole(2, 8), forMs: 18_000 });
  await sleep(chance.between(100, 1_500));
  const cut = faults.cause({ kind: 'link', replica, how: 'cut', forMs: 400 });
  await sleep(100);
  await Promise.all(guests.map((guest) => guest.logOut((replica + 1) % 3)));
  await cut;
  // Until the clock has caught up, nothing in memory is fresh.
  await sleep(chance.between(0, 9_000));
  // A read elsewhere would log in, and its announcement would end the old token everywhere.
  for (const until = performance.now() + 10_000; performance.now() < until; await sleep(WATCH_EVERY_MS)) {
    await Promise.all(guests.map((guest) => guest.read(replica)));
  }
  await jumped;
}

async function goBackInTime(parts: Parts, name: string): Promise<void> {
  const { chance, faults } = parts;
  const guests: Guest[] = [];
  for (const letter of ['a', 'b', 'c', 'd']) guests.push(await Guest.arrive(parts, `${name}-${letter}`));
  await Promise.all(guests.map((guest) => guest.readEverywhere()));
  const crash = { kind: 'redis-crash', how: 'old', ageMs: 3_000, forMs: chance.whole(100, 1_000) } as const;
  const crashed = faults.cause(crash);
  await sleep(chance.between(300, 800));
  const formers = await Promise.all(
    guests.map(async (guest) => {
      const act = chance.weighted({ renewed: 1, loggedOut: 1, accountLogout: 0.5, erasure: 0.5 });
      switch (act) {
        case 'renewed':
          await guest.report(chance.whole(0, 2));
          return undefined;
        case 'loggedOut':
          await guest.logOut(chance.whole(0, 2));
          return undefined;
        default:
          return guest.endSessions(act, chance.whole(0, 2));
      }
    }),
  );
  await crashed;
  await Promise.all(
    guests.map(async (guest, index) => {
      await guest.watch(formers[index]);
      await guest.find(chance.whole(0, 2));
    }),
  );
}

async function eraseDuringFailover(parts: Parts, name: string): Promise<void> {
  const { chance, faults } = parts;
  const guests: Guest[] = [];
  for (let number = 1; number <= 14; number += 1) guests.push(await Guest.arrive(parts, `${name}-${number}`));
  await Promise.all(guests.map((guest) => guest.readEverywhere()));
  const failedOver = faults.cause({ kind: 'failover', how: 'planned', forMs: 0 });
  const watched: Promise<void>[] = [];
  for (const guest of guests) {
    await sleep(chance.between(300, 900));
    const replica = chance.whole(0, 2);
    if (chance.happens(0.6)) {
      const former = guest.session;
      watched.push(
        guest.endSessions(chance.pick(SESSIONS_ENDS), replica).then(async () => {
          for (let look = 0; look < 8; look += 1) {
            await sleep(2_000);
            await Promise.all([guest.find(replica), guest.read((replica + look) % 3, former)]);
          }
        }),
      );
    } else {
      watched.push(
        guest
          .logOut(replica)
          .then(() => sleep(1_000))
          .then(() => guest.watch(undefined, 12_000)),
      );
    }
  }
  await Promise.all([...watched, failedOver]);
}
