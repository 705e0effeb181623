import { Apps } from './apps.ts';
import { Conditions } from './conditions.ts';
import { Facts, type LoginFact } from './facts.ts';
import { Faults } from './faults.ts';
import { Fleet } from './fleet.ts';
import { Oracle } from './oracle.ts';
import type { Scenario } from './scenario.ts';
import { StoreServer } from './store-server.ts';
import { VendorModel } from './vendor-model.ts';
import { VirtualTime } from './virtual-time.ts';

/** A broken invariant. */
export interface Violation {
  readonly invariant: string;
  /** Time since the start of the run. */
  readonly atMs: number;
  readonly what: string;
}

export interface ScheduleResult {
  readonly violations: readonly Violation[];
  readonly steps: number;
  readonly reads: number;
  readonly failedReads: number;
  readonly logins: number;
  /** All events, one line for each. */
  readonly trace: readonly string[];
}

/** After the faults, this long until everything has settled. */
const REST_MS = 40_000;
/** Commands that were sent before a replica stopped get their answer or their timeout in this time. */
const LEFTOVER_MS = 500;
const CHECK_EVERY_MS = 1_000;
const MAX_VIOLATIONS = 20;

/** Runs one schedule. The seed decides everything, so the same arguments give the same result. */
export async function runSchedule(scenario: Scenario, seed: number): Promise<ScheduleResult> {
  return new Schedule(scenario, new VirtualTime(seed)).run();
}

/** Builds the world of a scenario, lets it run, and checks at the end what must hold when all is well. */
class Schedule {
  readonly #scenario: Scenario;
  readonly #time: VirtualTime;
  readonly #server: StoreServer;
  readonly #vendor: VendorModel;
  readonly #fleet: Fleet;
  readonly #conditions: Conditions;
  readonly #oracle: Oracle;
  readonly #apps: Apps;
  readonly #faults: Faults;
  readonly #violations: Violation[] = [];
  readonly #trace: string[] = [];

  constructor(scenario: Scenario, time: VirtualTime) {
    const { random } = time;
    const facts = new Facts();
    const server = new StoreServer(time);
    const note = (line: string): void => this.#note(line);
    const fail = (invariant: string, what: string): void => this.#fail(invariant, what);
    const vendor = new VendorModel(time, facts, {
      mode: scenario.vendorMode,
      lifetimeMs: scenario.tokenLifeMs,
      latencyMs: () => scenario.vendorLatencyMs(random),
      clockOffsetMs: scenario.vendorOffsetMs,
      note,
    });
    const fleet = new Fleet({
      scenario,
      time,
      server,
      vendor,
      onLogin: (login) => this.#onLogin(login),
      onLoss: () => this.#conditions.fault(),
      onHeard: (announcement, name) => this.#oracle.onHeard(announcement, name),
      note,
    });
    const conditions = new Conditions(scenario, time, fleet);
    const oracle = new Oracle({ scenario, time, facts, conditions, vendor, server, note, fail });
    const apps = new Apps({ scenario, time, facts, conditions, fleet, server, oracle, note, fail });
    this.#faults = new Faults({ scenario, time, facts, conditions, fleet, server, vendor, apps, oracle, note });
    this.#scenario = scenario;
    this.#time = time;
    this.#server = server;
    this.#vendor = vendor;
    this.#fleet = fleet;
    this.#conditions = conditions;
    this.#oracle = oracle;
    this.#apps = apps;
  }

  async run(): Promise<ScheduleResult> {
    const { replicas, minutes } = this.#scenario;
    this.#server.onAnnouncement(() => void this.#checkCounts());
    for (let number = 0; number < replicas; number += 1) this.#fleet.start();
    for (const client of this.#apps.clients) this.#apps.readAgainLater(client, 2_000);
    this.#faults.start();
    this.#checkStoreLater();
    await this.#run(minutes * 60_000);
    await this.#settle();
    return {
      violations: this.#violations,
      steps: this.#time.steps,
      reads: this.#apps.readCount,
      failedReads: this.#apps.failedReads,
      logins: this.#vendor.logins,
      trace: this.#trace,
    };
  }

  #run(ms: number): Promise<void> {
    return this.#time.run(ms, () => {
      if (this.#violations.length >= MAX_VIOLATIONS) this.#apps.isOpen = false;
    });
  }

  #onLogin(login: LoginFact): void {
    this.#note(`${login.by} logs in for ${login.terminal}`);
    this.#oracle.onLogin(login);
    void this.#apps.checkGuestLogin(login.terminal);
  }

  #checkStoreLater(): void {
    this.#time.after(CHECK_EVERY_MS, () => {
      void this.#oracle.checkStore(this.#apps.clients.map(({ id }) => id));
      this.#checkStoreLater();
    });
  }

  /** Ends all faults, waits until everything has settled, and checks what must hold then. */
  async #settle(): Promise<void> {
    const { clients } = this.#apps;
    this.#apps.isOpen = false;
    this.#faults.end();
    await this.#run(REST_MS);
    this.#apps.checkEnded();
    for (const client of clients) {
      client.sessionIssuedAt = this.#time.now + 10_000;
      client.held = undefined;
    }
    // An open circuit breaker lets one trial attempt through and refuses the others, so the apps try a second time.
    this.#conditions.vendorFault();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      for (const client of clients) {
        const replica = this.#fleet.pick();
        if (replica && !client.held) void this.#apps.read(client, replica);
      }
      await this.#run(this.#conditions.longestReadMs);
    }
    for (const { terminal, held } of clients) {
      if (!held) this.#fail('every subject has a token once all is well', terminal);
    }
    await this.#checkCounts();
    await this.#stopAll();
  }

  /** Stops every replica as SIGTERM does, and checks that nothing of them is left. */
  async #stopAll(): Promise<void> {
    const replicas = this.#fleet.all.filter(({ process }) => process.alive);
    let isChecked = false;
    const check = async (): Promise<void> => {
      isChecked = true;
      for (const { name, process } of replicas) {
        const left = this.#time.pendingOf(process);
        if (left > 0) this.#fail('a replica that has stopped leaves no timer and no waiter', `${left} of ${name}`);
      }
      // If the message that releases a lease is lost, the lease ends by itself.
      if (this.#scenario.lossRate > 0) return;
      const leased = await this.#server.leased(this.#apps.clients.map(({ id }) => id));
      if (leased.length > 0) this.#fail('replicas that have stopped hold no lease', `${leased.length} leases`);
    };
    void Promise.all(replicas.map((replica) => replica.stop(Promise.resolve()))).then(() =>
      this.#time.after(LEFTOVER_MS, check),
    );
    await this.#run(this.#conditions.longestReadMs);
    if (!isChecked) this.#fail('each replica stops', `${replicas.length} replicas`);
  }

  /**
   * Compares the due times in the store with its tokens. Called after each change, so one difference cannot hide
   * another.
   */
  async #checkCounts(): Promise<void> {
    const { scheduled, stored } = await this.#server.count(this.#apps.clients.map(({ id }) => id));
    if (scheduled === stored) return;
    this.#fail('each token has a due time, and each due time a token', `${stored} tokens, ${scheduled} due times`);
  }

  #note(line: string): void {
    this.#trace.push(`${((this.#time.now - this.#time.startedAt) / 1_000).toFixed(3)} s  ${line}`);
  }

  #fail(invariant: string, what: string): void {
    this.#note(`VIOLATION: ${invariant}: ${what}`);
    this.#violations.push({ invariant, atMs: this.#time.now - this.#time.startedAt, what });
  }
}
