import { reportFindings } from '../judge/finding-report.ts';
import { type Finding, judge } from '../judge/judge.ts';
import { Recorder, type VendorLogin } from '../judge/recording.ts';
import { accessTokenOf } from '../support/served-token.ts';
import { Apps } from './apps.ts';
import { Faults } from './faults.ts';
import { Fleet } from './fleet.ts';
import { RecordedStore } from './recorded-store.ts';
import { boundsOf, type Scenario } from './scenario.ts';
import { StoreServer } from './store-server.ts';
import { VendorModel } from './vendor-model.ts';
import { VirtualTime } from './virtual-time.ts';

export interface ScheduleResult {
  /** In the order of time. */
  readonly findings: readonly Finding[];
  readonly report: readonly string[];
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
const LOOK_EVERY_MS = 1_000;
const FINAL_PAUSE_MS = 500;

/** Runs one schedule. The seed decides everything, so the same arguments give the same result. */
export async function runSchedule(scenario: Scenario, seed: number): Promise<ScheduleResult> {
  return new Schedule(scenario, new VirtualTime(seed)).run();
}

/** Builds the world of a scenario, lets it run, records what happens, and lets the judge decide at the end. */
class Schedule {
  readonly #scenario: Scenario;
  readonly #time: VirtualTime;
  readonly #recorder: Recorder;
  readonly #server: StoreServer;
  readonly #store: RecordedStore;
  readonly #vendor: VendorModel;
  readonly #fleet: Fleet;
  readonly #apps: Apps;
  readonly #faults: Faults;
  readonly #trace: { readonly at: number; readonly text: string }[] = [];

  constructor(scenario: Scenario, time: VirtualTime) {
    const recorder = new Recorder(boundsOf(scenario), () => time.now - time.startedAt, true);
    const server = new StoreServer(time);
    const note = (text: string): void => void this.#trace.push({ at: recorder.now(), text });
    const store = new RecordedStore(recorder, server, note);
    const onLogin = (login: VendorLogin) => this.#onLogin(login);
    const vendor = new VendorModel({ scenario, time, recorder, note, onLogin });
    const fleet = new Fleet({ scenario, time, recorder, server, store, vendor, note });
    const apps = new Apps({ scenario, time, recorder, store, fleet, server, note });
    this.#faults = new Faults({ scenario, time, recorder, fleet, server, vendor, apps, note });
    this.#scenario = scenario;
    this.#time = time;
    this.#recorder = recorder;
    this.#server = server;
    this.#store = store;
    this.#vendor = vendor;
    this.#fleet = fleet;
    this.#apps = apps;
  }

  async run(): Promise<ScheduleResult> {
    const { replicas, minutes } = this.#scenario;
    for (let number = 0; number < replicas; number += 1) this.#fleet.start();
    for (const client of this.#apps.clients) this.#apps.readAgainLater(client, 2_000);
    this.#faults.start();
    this.#lookLater();
    await this.#time.run(minutes * 60_000);
    await this.#settle();
    return this.#result();
  }

  #result(): ScheduleResult {
    const { exchanges, logins } = this.#recorder;
    const findings = judge(this.#recorder).toSorted((one, other) => one.at - other.at);
    const reads = exchanges.filter(({ kind }) => kind === 'read' || kind === 'report');
    const broken = findings.map(({ at, rule, account, uniqueId = '', what }) => {
      return { at, text: `BROKEN: ${rule}: ${account}/${uniqueId}: ${what}` };
    });
    const trace = [...this.#trace, ...broken].toSorted((one, other) => one.at - other.at);
    return {
      findings,
      report: reportFindings(this.#recorder, findings),
      steps: this.#time.steps,
      reads: reads.length,
      failedReads: reads.filter(({ status }) => status >= 400).length,
      logins: logins.filter(({ token }) => token !== undefined).length,
      trace: trace.map(({ at, text }) => `${(at / 1_000).toFixed(3)} s  ${text}`),
    };
  }

  #onLogin(login: VendorLogin): void {
    // A guest that has an accessId needs no login.
    if (!login.account.startsWith('guest-')) return;
    void this.#server.data.accounts.find(login.account).then(({ identity }) => {
      login.hadAccessId = identity !== undefined;
    });
  }

  #lookLater(): void {
    this.#time.after(LOOK_EVERY_MS, () => {
      void this.#store.look();
      this.#lookLater();
    });
  }

  /** Ends all faults, waits until everything has settled, and lets the apps read a last time. */
  async #settle(): Promise<void> {
    const { clients } = this.#apps;
    const { longestReadMs } = this.#recorder.bounds;
    this.#apps.isOpen = false;
    this.#faults.end();
    await this.#time.run(REST_MS);
    for (const client of clients) {
      client.sessionIssuedAt = this.#time.now + 10_000;
      client.held = undefined;
    }
    // An open circuit breaker lets one trial attempt through and refuses the others, so the apps try a second time.
    this.#recorder.fault({ kind: 'vendor', description: 'all apps ask at once' });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      for (const client of clients) {
        const replica = this.#fleet.pick();
        const { held } = client;
        if (replica && !(held && this.#vendor.takes(accessTokenOf(held)))) void this.#apps.read(client, replica, held);
      }
      await this.#time.run(longestReadMs);
    }
    // One after the other: accounts that return get few places in the login queue at a time.
    for (const client of clients) {
      for (const replica of this.#fleet.running) void this.#apps.read(client, replica, undefined, true);
      await this.#time.run(FINAL_PAUSE_MS);
    }
    await this.#time.run(longestReadMs);
    await this.#stopAll();
  }

  /** Stops every replica as SIGTERM does, and notes what is left of them. */
  async #stopAll(): Promise<void> {
    const replicas = this.#fleet.all.filter(({ process }) => process.alive);
    let isChecked = false;
    const check = async (): Promise<void> => {
      isChecked = true;
      for (const { name, process } of replicas) {
        const left = this.#time.pendingOf(process);
        if (left > 0) this.#store.remains(`${left} timers or waiters of ${name}`);
      }
      // If the message that releases a lease is lost, the lease ends by itself.
      if (this.#scenario.lossRate === 0) await this.#store.lookForLeases();
    };
    void Promise.all(replicas.map((replica) => replica.stop(Promise.resolve()))).then(() =>
      this.#time.after(LEFTOVER_MS, check),
    );
    await this.#time.run(this.#recorder.bounds.longestReadMs);
    if (!isChecked) this.#store.remains(`${replicas.length} replicas that do not stop`);
  }
}
