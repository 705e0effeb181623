import { accessIdTerminal } from '../../src/broker/access-ids.ts';
import { sleep } from '../../src/token/clock.ts';
import { BrokerError } from '../../src/token/errors.ts';
import type { ServedToken } from '../../src/token/sdk-token.ts';
import {
  type AccountId,
  accountId,
  accountOf,
  type Subject,
  type SubjectId,
  subjectId,
} from '../../src/token/subject.ts';
import { accessTokenOf } from '../support/served-token.ts';
import type { Conditions } from './conditions.ts';
import type { Facts, ReadFact, RemovalFact } from './facts.ts';
import type { Fleet } from './fleet.ts';
import type { Oracle } from './oracle.ts';
import type { Replica } from './replica.ts';
import type { Scenario } from './scenario.ts';
import type { StoreServer } from './store-server.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Accounts without a phone. */
const GUESTS = 4;
/** How often a shutdown looks whether reads still run. */
const POLL_MS = 50;

/** One app: a terminal of an account. */
export interface Client {
  readonly subject: Subject;
  readonly id: SubjectId;
  readonly account: AccountId;
  readonly terminal: string;
  sessionIssuedAt: number;
  held: ServedToken | undefined;
  /** Until then the app does not read by itself. */
  silentUntil: number;
}

export interface AppsOptions {
  readonly scenario: Scenario;
  readonly time: VirtualTime;
  readonly facts: Facts;
  readonly conditions: Conditions;
  readonly fleet: Fleet;
  readonly server: StoreServer;
  readonly oracle: Oracle;
  readonly note: (line: string) => void;
  readonly fail: (invariant: string, what: string) => void;
}

/** What apps and operators do, and what they get. */
export class Apps {
  readonly #options: AppsOptions;
  readonly clients: readonly Client[];
  readonly #reads = new Set<ReadFact>();
  /** The running requests for accessIds. */
  readonly #obtaining = new Set<{ readonly terminal: string; readonly since: number; readonly by: string }>();
  /** Whether apps read by themselves. */
  isOpen = true;
  readCount = 0;
  failedReads = 0;

  constructor(options: AppsOptions) {
    this.#options = options;
    this.clients = Array.from({ length: options.scenario.subjects }, (_, number) => this.#newClient(number));
  }

  #newClient(number: number): Client {
    // Two terminals per account.
    const subject = { app: 'default', unionId: `account-${number >> 1}`, uniqueId: `phone-${number}` };
    const id = subjectId(subject);
    const terminal = `${subject.unionId}/${subject.uniqueId}`;
    return {
      subject,
      id,
      account: accountOf(id),
      terminal,
      sessionIssuedAt: this.#options.time.now,
      held: undefined,
      silentUntil: 0,
    };
  }

  pick(): Client {
    return this.clients[Math.floor(this.#options.time.random() * this.clients.length)] as Client;
  }

  // --- reads

  readAgainLater(client: Client, withinMs = this.#options.scenario.readEveryMs * 2): void {
    const { time, fleet } = this.#options;
    const read = (): void => {
      if (!this.isOpen) return;
      const replica = fleet.pick();
      if (replica && time.now >= client.silentUntil) void this.read(client, replica);
      this.readAgainLater(client);
    };
    time.after(time.random() * withinMs, read);
  }

  async read(client: Client, replica: Replica, refused?: ServedToken): Promise<void> {
    const { time, facts, oracle, note } = this.#options;
    const { subject, id, account, terminal, sessionIssuedAt } = client;
    const refusedToken = refused && accessTokenOf(refused);
    const read = { id, account, terminal, by: replica.name, beganAt: time.now, sessionIssuedAt, refused: refusedToken };
    this.#reads.add(read);
    this.readCount += 1;
    facts.addRequest(account, sessionIssuedAt);
    const reported = facts.loginOf(refusedToken);
    if (reported) reported.reportedAt ??= time.now;
    try {
      const served = await replica.broker.read({ subject, id, region: 'CN', sessionIssuedAt, refused: refused?.etag });
      if (!replica.process.alive) return;
      client.held = served;
      if (refused) note(`${terminal} reported ${refusedToken} and got ${accessTokenOf(served)}`);
      oracle.onServed(read, served);
    } catch (error) {
      if (!replica.process.alive) return;
      this.failedReads += 1;
      const code = error instanceof BrokerError ? error.code : String(error);
      note(`read of ${terminal} by ${replica.name} failed after ${Math.round(time.now - read.beganAt)} ms: ${code}`);
      oracle.onFailed(read, error);
      // The user logs in again.
      if (code === 'session_invalid') client.sessionIssuedAt = Math.ceil(time.now) + 1;
    } finally {
      this.#reads.delete(read);
    }
  }

  report(client: Client, replica = this.#options.fleet.pick()): void {
    if (replica && client.held) void this.read(client, replica, client.held);
  }

  /** Resolves when the replica has answered all its reads. */
  async readsOf({ name, clock }: Replica): Promise<void> {
    while ([...this.#reads].some(({ by }) => by === name)) await sleep(clock, POLL_MS);
  }

  /** Called when every request must have ended. */
  checkEnded(): void {
    const { conditions, fail } = this.#options;
    for (const { beganAt, by, terminal } of this.#reads) {
      if (conditions.isAlive(by)) fail('each read ends', `${terminal} since ${Math.round(beganAt)}`);
    }
    for (const { terminal, since, by } of this.#obtaining) {
      if (conditions.isAlive(by)) fail('each request for an accessId ends', `${terminal} since ${since}`);
    }
  }

  // --- logouts and erasures

  /** @returns whether it succeeded */
  logOut(client: Client, replica = this.#options.fleet.pick()): Promise<boolean> {
    const { subject, id, account, terminal, sessionIssuedAt } = client;
    const name = `the logout of ${terminal}`;
    return this.#remove(replica, { kind: 'logout', id, account, name }, ({ accounts }) =>
      accounts.logOut(subject, { sessionIssuedAt }),
    );
  }

  /** @returns whether it succeeded */
  erase(unionId: string, replica = this.#options.fleet.pick()): Promise<boolean> {
    const account = accountId(unionId);
    const name = `the erasure of ${unionId}`;
    return this.#remove(replica, { kind: 'erasure', id: undefined, account, name }, ({ accounts }) =>
      accounts.erase(unionId),
    );
  }

  async #remove(
    replica: Replica | undefined,
    what: Pick<RemovalFact, 'kind' | 'id' | 'account' | 'name'>,
    request: (replica: Replica) => Promise<void>,
  ): Promise<boolean> {
    const { time, facts, note } = this.#options;
    if (!replica) return false;
    const removal: RemovalFact = {
      ...what,
      by: replica.name,
      beganAt: time.now,
      answeredAt: undefined,
      hasSucceeded: false,
      executedAt: undefined,
      heardAt: new Map(),
      lost: undefined,
    };
    facts.addRemoval(removal);
    try {
      await request(replica);
      removal.hasSucceeded = true;
    } catch (error) {
      if (!(error instanceof BrokerError)) this.#options.fail('every failure is a BrokerError', String(error));
    }
    if (!replica.process.alive) return false;
    removal.answeredAt = time.now;
    note(`${removal.name} by ${replica.name} ${removal.hasSucceeded ? 'succeeded' : 'failed'}`);
    return removal.hasSucceeded;
  }

  // --- accessIds

  /** Asks two replicas at once for the accessId of a guest: an account without a phone. Sometimes erases the guest. */
  share(): void {
    const { time, fleet } = this.#options;
    const unionId = `guest-${Math.floor(time.random() * GUESTS)}`;
    const [one, other] = [fleet.pick(), fleet.pick()];
    if (time.random() < 0.2) void this.erase(unionId, one);
    for (const replica of [one, other]) if (replica) void this.#obtain(unionId, replica);
  }

  async #obtain(unionId: string, replica: Replica): Promise<void> {
    const { time, facts, conditions, server, note, fail } = this.#options;
    const since = time.now;
    const account = accountId(unionId);
    const terminal = `${unionId}/${accessIdTerminal(unionId)}`;
    const obtaining = { terminal, since, by: replica.name };
    this.#obtaining.add(obtaining);
    facts.addRequest(account, since);
    /** Whether the guest was erased during the request, or so late before it that the replica may not know. */
    const isErased = (): boolean =>
      facts.erasuresOf(account).some(({ beganAt, executedAt = beganAt }) => {
        return executedAt >= since || since <= conditions.unknownUntil(executedAt, replica.name);
      });
    try {
      const subject = { app: 'default', unionId, uniqueId: accessIdTerminal(unionId) };
      const { accessId } = await replica.accessIds.obtain(subject, 'CN');
      if (!replica.process.alive) return;
      const found = await server.data.accounts.lookUp([accessId]);
      if (!isErased() && conditions.dataChangedAt < since && found.get(accessId) !== unionId) {
        fail('an accessId that was handed out can be looked up', terminal);
      }
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : String(error);
      note(`${replica.name} obtained no accessId for ${unionId}: ${code}`);
      if (!(error instanceof BrokerError)) fail('every failure is a BrokerError', code);
      if (replica.process.alive && !isErased() && conditions.isWell) {
        fail('an accessId is obtained while nothing is broken', `${terminal}: ${code}`);
      }
    } finally {
      this.#obtaining.delete(obtaining);
    }
  }

  /** A guest that has an accessId needs no login. */
  async checkGuestLogin(terminal: string): Promise<void> {
    const { conditions, server, fail } = this.#options;
    const [unionId = ''] = terminal.split('/');
    if (!unionId.startsWith('guest-')) return;
    const { identity } = await server.data.accounts.find(unionId);
    if (identity && conditions.isWell) fail('an account with an accessId causes no login for it', unionId);
  }
}
