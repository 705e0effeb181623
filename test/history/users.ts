import { setTimeout as sleep } from 'node:timers/promises';
import type { Terminal } from '../judge/recording.ts';
import type { Chance } from '../support/chance.ts';
import {
  type HeldToken,
  heldToken,
  type RecordedRequests,
  type Session,
  type SessionsEnd,
} from './recorded-requests.ts';
import type { World } from './world.ts';

const MEAN_PAUSE_MS = 600;
/** Longer than an ended session may still get a token, and than the second in which a session was issued. */
const ENDED_MS = 1_100;

const ENDS: Readonly<Record<SessionsEnd, number>> = { accountLogout: 3, erasure: 2 };
const ACTS = { read: 60, readEverywhere: 14, newSession: 8, oldSession: 6, account: 4, logout: 6, ...ENDS };

/** A user with one or two phones: reads, reports refused tokens, logs out, is kicked out or erased, and comes back. */
export class User {
  readonly #world: World;
  readonly #requests: RecordedRequests;
  readonly #chance: Chance;
  readonly #account: string;
  readonly terminals: readonly [Terminal, ...Terminal[]];
  readonly #held = new Map<string, HeldToken>();
  readonly #running = new Set<Promise<unknown>>();
  /**
   * How long this user keeps a refused token before the report. Some are slow, and show what happens without reports.
   */
  readonly #patienceMs: number;
  #over: AbortSignal | undefined;
  #session: Session | undefined;
  #oldSession: Session | undefined;

  constructor(world: World, requests: RecordedRequests, chance: Chance, number: number) {
    this.#world = world;
    this.#requests = requests;
    this.#chance = chance;
    this.#account = `user-${number}`;
    this.terminals = [this.#terminal(1), ...(chance.happens(0.4) ? [this.#terminal(2)] : [])];
    this.#patienceMs = chance.happens(0.6) ? chance.between(50, 1_000) : chance.between(8_000, 20_000);
  }

  /** Acts until the signal is aborted, and resolves when every request has been answered. */
  async run(signal: AbortSignal): Promise<void> {
    this.#over = signal;
    while (!signal.aborted) {
      await this.#act();
      await sleep(this.#chance.exponential(MEAN_PAUSE_MS));
    }
    await Promise.all(this.#running);
  }

  async #act(): Promise<void> {
    const chance = this.#chance;
    const terminal = chance.pick(this.terminals);
    const session = await this.#currentSession();
    const act = chance.weighted(ACTS);
    switch (act) {
      case 'read':
        return this.#maybeAwait(this.#read(terminal, session, this.#replica()));
      case 'readEverywhere':
        return this.#maybeAwait(this.#onEveryReplica((replica) => this.#read(terminal, session, replica)));
      case 'newSession':
        this.#session = undefined;
        return;
      case 'oldSession':
        if (this.#oldSession) this.#keep(this.#requests.read(terminal, this.#oldSession, this.#replica()));
        return;
      case 'account':
        await this.#requests.find(this.#account, this.#replica());
        return;
      case 'logout': {
        if (chance.happens(0.5)) {
          this.#keep(this.#read(terminal, session, this.#replica()));
          await sleep(chance.between(0, 1_500));
        }
        this.#held.delete(terminal.uniqueId);
        await this.#requests.logOut(terminal, session, this.#replica());
        return;
      }
      case 'accountLogout':
      case 'erasure':
        return this.#endSessions(act, session);
    }
  }

  async #endSessions(kind: SessionsEnd, session: Session): Promise<void> {
    const chance = this.#chance;
    const terminal = chance.pick(this.terminals);
    const isEverywhere = chance.happens(0.5);
    // A replica with a fresh token in memory does not ask Redis.
    if (isEverywhere) this.#keep(this.#onEveryReplica((replica) => this.#requests.read(terminal, session, replica)));
    if (chance.happens(0.5)) await sleep(chance.between(0, 1_000));
    await this.#requests.endSessions(kind, this.#account, () => this.#replica());
    this.#held.clear();
    this.#oldSession = session;
    await sleep(ENDED_MS);
    this.#session = undefined;
    this.#keep(this.#onEveryReplica((replica) => this.#requests.read(terminal, session, replica)));
  }

  /** On those that are up, as a load balancer sees it. */
  #onEveryReplica(act: (replica: number) => Promise<unknown>): Promise<unknown> {
    const up = this.#world.replicas.filter(({ isUp }) => isUp);
    return Promise.all(up.map(({ index }) => act(index)));
  }

  async #read(terminal: Terminal, session: Session, replica: number): Promise<void> {
    const held = heldToken(await this.#requests.read(terminal, session, replica));
    if (!held) return;
    this.#held.set(terminal.uniqueId, held);
    if (!this.#isRefused(held)) return;
    await sleep(this.#patienceMs, undefined, { signal: this.#over }).catch(() => undefined);
    if (this.#over?.aborted) return;
    if (this.#held.get(terminal.uniqueId)?.token !== held.token || !this.#isRefused(held)) return;
    await this.#report(terminal, held);
  }

  async #report(terminal: Terminal, held: HeldToken): Promise<void> {
    const session = await this.#currentSession();
    const better = heldToken(await this.#requests.report(terminal, session, this.#replica(), held));
    if (better) this.#held.set(terminal.uniqueId, better);
  }

  /** After the last fault: every replica gives a token that the vendor takes, if need be after one report. */
  async readFinally(): Promise<void> {
    for (const terminal of this.terminals) {
      const session = await this.#requests.openSession(this.#account);
      const first = heldToken(await this.#requests.read(terminal, session, 0));
      if (first && this.#isRefused(first)) await this.#requests.report(terminal, session, 1, first);
      await Promise.all(this.#world.replicas.map(({ index }) => this.#requests.read(terminal, session, index, true)));
    }
  }

  #isRefused({ token }: HeldToken): boolean {
    return !this.#world.vendor.checkToken(token).live;
  }

  async #currentSession(): Promise<Session> {
    this.#session ??= await this.#requests.openSession(this.#account);
    return this.#session;
  }

  /** Not every app waits for its answer before it acts again. */
  async #maybeAwait(request: Promise<unknown>): Promise<void> {
    this.#keep(request);
    if (this.#chance.happens(0.7)) await Promise.race([request, sleep(4_000)]);
  }

  #keep(request: Promise<unknown>): void {
    const running = request.finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Mostly one that is up, as a load balancer does. */
  #replica(): number {
    const { replicas } = this.#world;
    const index = this.#chance.whole(0, replicas.length - 1);
    if (replicas[index]?.isUp) return index;
    return replicas.find(({ isUp }) => isUp)?.index ?? index;
  }

  #terminal(number: number): Terminal {
    return { account: this.#account, uniqueId: `phone-${number}` };
  }
}
