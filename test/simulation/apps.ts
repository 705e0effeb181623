import { accessIdTerminal } from '../../src/broker/access-ids.ts';
import { sleep } from '../../src/token/clock.ts';
import { BrokerError } from '../../src/token/errors.ts';
import type { ServedToken } from '../../src/token/sdk-token.ts';
import type { Subject, SubjectId } from '../../src/token/subject.ts';
import type { Exchange, Terminal } from '../judge/recording.ts';
import { accessTokenOf } from '../support/served-token.ts';
import type { Replica } from './replica.ts';
import type { World } from './world.ts';

/** Accounts without a phone. */
const GUESTS = 4;
/** How often a shutdown looks whether reads still run. */
const POLL_MS = 50;

/** One app: a terminal of an account. */
export interface Client {
  readonly subject: Subject;
  readonly id: SubjectId;
  readonly terminal: Terminal;
  sessionIssuedAt: number;
  held: ServedToken | undefined;
  /** Until then the app does not read by itself. */
  silentUntil: number;
}

type Surroundings = Pick<World, 'scenario' | 'time' | 'recorder' | 'store' | 'cloud' | 'fleet' | 'server' | 'note'>;

/** What apps and operators do. Every request is recorded. */
export class Apps {
  readonly #options: Surroundings;
  readonly clients: readonly Client[];
  readonly #running = new Set<Exchange>();
  /** Whether apps read by themselves. */
  isOpen = true;

  constructor(options: Surroundings) {
    this.#options = options;
    this.clients = Array.from({ length: options.scenario.subjects }, (_, number) => this.#newClient(number));
  }

  #newClient(number: number): Client {
    // Two terminals per account.
    const subject = { app: 'default', unionId: `account-${number >> 1}`, uniqueId: `phone-${number}` };
    return {
      subject,
      id: this.#options.store.add(subject),
      terminal: { account: subject.unionId, uniqueId: subject.uniqueId },
      sessionIssuedAt: this.#options.cloud.issuedNow(),
      held: undefined,
      silentUntil: 0,
    };
  }

  pick(): Client {
    return this.clients[Math.floor(this.#options.time.random() * this.clients.length)] as Client;
  }

  /** @returns the request with its answer, if the replica lived so long */
  async #request(
    about: Omit<Exchange, 'replica' | 'sentAt' | 'endedAt' | 'status'>,
    replica: Replica,
    answer: () => Promise<Partial<Exchange>>,
  ): Promise<Exchange> {
    const { recorder, note } = this.#options;
    const exchange = recorder.sent({ ...about, replica: replica.number });
    this.#running.add(exchange);
    const outcome = await answer().catch(failureOf);
    this.#running.delete(exchange);
    if (!replica.process.alive) return exchange;
    recorder.ended(exchange, outcome);
    const { kind, account, uniqueId = '', status, code = '', token = '', reported = '' } = exchange;
    if (kind !== 'read' || status !== 200)
      note(`${account}/${uniqueId}: ${kind} ${reported} by ${replica.name}: ${status} ${code}${token}`);
    return exchange;
  }

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

  async read(client: Client, replica: Replica, refused?: ServedToken, isFinal = false): Promise<void> {
    const { time, cloud } = this.#options;
    const { subject, id, terminal, sessionIssuedAt } = client;
    const session = this.#sessionOf(client);
    const about = {
      ...terminal,
      ...(refused ? { kind: 'report' as const, reported: accessTokenOf(refused) } : { kind: 'read' as const }),
      sessionIssuedAt: sessionIssuedAt - time.startedAt,
      session,
      isFinal,
    };
    const { code } = await this.#request(about, replica, async () => {
      const { issuedAt } = await replica.sessions.verify(session);
      const asked = { subject, id, region: 'CN', sessionIssuedAt: issuedAt, refused: refused?.etag };
      const served = await replica.broker.read(asked);
      if (replica.process.alive) client.held = served;
      return { status: 200, token: accessTokenOf(served) };
    });
    // The user logs in again.
    if (code === 'session_invalid') client.sessionIssuedAt = cloud.issuedNow();
  }

  #sessionOf({ terminal: { account, uniqueId }, sessionIssuedAt }: Client): string {
    return this.#options.cloud.sessionOf(account, uniqueId, sessionIssuedAt);
  }

  report(client: Client, replica = this.#options.fleet.pick()): void {
    if (replica && client.held) void this.read(client, replica, client.held);
  }

  /** Resolves when the replica has answered all its reads. */
  async readsOf({ number, clock }: Replica): Promise<void> {
    while ([...this.#running].some(({ kind, replica }) => replica === number && (kind === 'read' || kind === 'report')))
      await sleep(clock, POLL_MS);
  }

  /** @returns whether it succeeded */
  async logOut({ subject, terminal, sessionIssuedAt }: Client, replica = this.#options.fleet.pick()): Promise<boolean> {
    const logOut = ({ accounts }: Replica) => accounts.logOut(subject, { sessionIssuedAt });
    return this.#remove({ kind: 'logout', ...terminal }, replica, logOut);
  }

  /** @returns whether it succeeded */
  async erase(account: string, replica = this.#options.fleet.pick()): Promise<boolean> {
    return this.#remove({ kind: 'erasure', account }, replica, ({ accounts }) => accounts.erase(account));
  }

  /** The cloud logs a user out on all phones. @returns whether it succeeded */
  async logOutEverywhere(account: string, replica = this.#options.fleet.pick()): Promise<boolean> {
    // Without a replica nobody would be told. The judge knows of sessions that the cloud has ended from its calls.
    if (!replica) return false;
    const phones = this.clients.filter(({ terminal }) => terminal.account === account);
    const about = { kind: 'accountLogout', account, endedSessions: this.#endSessionsOf(phones) } as const;
    const hasSucceeded = await this.#remove(about, replica, ({ accounts }) => accounts.logOutEverywhere(account));
    if (hasSucceeded) void this.#find(account, replica);
    return hasSucceeded;
  }

  /** The cloud logs a user out on one phone. @returns whether it succeeded */
  async kickOut(client: Client, replica = this.#options.fleet.pick()): Promise<boolean> {
    if (!replica) return false;
    const about = { kind: 'logout', ...client.terminal, endedSessions: this.#endSessionsOf([client]) } as const;
    return this.#remove(about, replica, ({ accounts }) => accounts.logOut(client.subject, 'operator'));
  }

  #endSessionsOf(clients: readonly Client[]): readonly string[] {
    const sessions = clients.map((client) => this.#sessionOf(client));
    this.#options.cloud.end(sessions);
    return sessions;
  }

  /** An operator looks at the account. */
  async #find(account: string, replica: Replica): Promise<void> {
    await this.#request({ kind: 'account', account }, replica, async () => {
      const { identity } = await replica.connection.store.accounts.find(account);
      return identity ? { status: 200 } : { status: 404, code: 'not_found' };
    });
  }

  async #remove(
    about: Pick<Exchange, 'kind' | 'account' | 'uniqueId' | 'endedSessions'>,
    replica: Replica | undefined,
    remove: (replica: Replica) => Promise<void>,
  ): Promise<boolean> {
    if (!replica) return false;
    const { status } = await this.#request(about, replica, () => remove(replica).then(() => ({ status: 204 })));
    return status === 204;
  }

  /** Asks two replicas at once for the accessId of a guest: an account without a phone. Sometimes erases the guest. */
  share(): void {
    const { time, fleet } = this.#options;
    const unionId = `guest-${Math.floor(time.random() * GUESTS)}`;
    const [one, other] = [fleet.pick(), fleet.pick()];
    if (time.random() < 0.2) void this.erase(unionId, one);
    for (const replica of [one, other]) if (replica) void this.#obtain(unionId, replica);
  }

  async #obtain(unionId: string, replica: Replica): Promise<void> {
    const { store, server } = this.#options;
    const subject = { app: 'default', unionId, uniqueId: accessIdTerminal(unionId) };
    store.add(subject);
    await this.#request({ kind: 'accessId', account: unionId, uniqueId: subject.uniqueId }, replica, async () => {
      const { accessId } = await replica.accessIds.obtain(subject, 'CN');
      const found = await server.data.accounts.lookUp([accessId]);
      return { status: 200, isFound: found.get(accessId) === unionId };
    });
  }
}

function failureOf(error: unknown): Partial<Exchange> {
  return error instanceof BrokerError ? { status: 503, code: error.code } : { status: 500, code: String(error) };
}
