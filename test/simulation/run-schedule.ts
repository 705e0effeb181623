import { reportFindings } from '../judge/finding-report.ts';
import { type Finding, judge } from '../judge/judge.ts';
import { Recorder, type VendorLogin } from '../judge/recording.ts';
import { accessTokenOf } from '../support/served-token.ts';
import { Apps } from './apps.ts';
import { CloudModel } from './cloud-model.ts';
import { Faults } from './faults.ts';
import { Fleet } from './fleet.ts';
import { RecordedStore } from './recorded-store.ts';
import { boundsOf, type Scenario } from './scenario.ts';
import { StoreServer } from './store-server.ts';
import { VendorModel } from './vendor-model.ts';
import { VirtualTime } from './virtual-time.ts';
import type { World } from './world.ts';

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
  readonly #world: World;
  readonly #faults: Faults;
  readonly #trace: { readonly at: number; readonly text: string }[] = [];

  constructor(scenario: Scenario, time: VirtualTime) {
    const recorder = new Recorder(boundsOf(scenario), () => time.now - time.startedAt, true);
    const server = new StoreServer(time);
    const note = (text: string): void => void this.#trace.push({ at: recorder.now(), text });
    const store = new RecordedStore(recorder, server, note);
    const parts = { scenario, time, recorder, server, store, note };
    const vendor = new VendorModel({ ...parts, onLogin: (login) => this.#onLogin(login) });
    const cloud = new CloudModel(parts);
    const fleet = new Fleet({ ...parts, vendor, cloud });
    const apps = new Apps({ ...parts, cloud, fleet });
    this.#world = { ...parts, vendor, cloud, fleet, apps };
    this.#faults = new Faults(this.#world);
  }

  async run(): Promise<ScheduleResult> {
    const { replicas, minutes } = this.#world.scenario;
    for (let number = 0; number < replicas; number += 1) this.#world.fleet.start();
    for (const client of this.#world.apps.clients) this.#world.apps.readAgainLater(client, 2_000);
    this.#faults.start();
    this.#lookLater();
    await this.#world.time.run(minutes * 60_000);
    await this.#settle();
    return this.#result();
  }

  #result(): ScheduleResult {
    const { exchanges, logins } = this.#world.recorder;
    const findings = judge(this.#world.recorder).toSorted((one, other) => one.at - other.at);
    const reads = exchanges.filter(({ kind }) => kind === 'read' || kind === 'report');
    const broken = findings.map(({ at, rule, account, uniqueId, what }) => {
      const place = [account, uniqueId].filter((name) => name !== undefined).join('/');
      return { at, text: `BROKEN: ${rule}: ${place}: ${what}` };
    });
    const trace = [...this.#trace, ...broken].toSorted((one, other) => one.at - other.at);
    return {
      findings,
      report: reportFindings(this.#world.recorder, findings),
      steps: this.#world.time.steps,
      reads: reads.length,
      failedReads: reads.filter(({ status }) => status >= 400).length,
      logins: logins.filter(({ token }) => token !== undefined).length,
      trace: trace.map(({ at, text }) => `${(at / 1_000).toFixed(3)} s  ${text}`),
    };
  }

  #onLogin(login: VendorLogin): void {
    // A guest that has an accessId needs no login.
    if (!login.account.startsWith('guest-')) return;
    void this.#world.server.data.accounts.find(login.account).then(({ identity }) => {
      login.hadAccessId = identity !== undefined;
    });
  }

  #lookLater(): void {
    this.#world.time.after(LOOK_EVERY_MS, () => {
      void this.#world.store.look();
      this.#lookLater();
    });
  }

  /** Ends all faults, waits until everything has settled, and lets the apps read a last time. */
  async #settle(): Promise<void> {
    const { clients } = this.#world.apps;
    const { longestReadMs } = this.#world.recorder.bounds;
    this.#world.apps.isOpen = false;
    this.#faults.end();
    await this.#world.time.run(REST_MS);
    for (const client of clients) {
      client.sessionIssuedAt = this.#world.time.now + 10_000;
      client.held = undefined;
    }
    // An open circuit breaker lets one trial attempt through and refuses the others, so the apps try a second time.
    this.#world.recorder.fault({ kind: 'vendor', description: 'all apps ask at once' });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      for (const client of clients) {
        const replica = this.#world.fleet.pick();
        const { held } = client;
        if (replica && !(held && this.#world.vendor.takes(accessTokenOf(held))))
          void this.#world.apps.read(client, replica, held);
      }
      await this.#world.time.run(longestReadMs);
    }
    // One after the other: accounts that return get few places in the login queue at a time.
    for (const client of clients) {
      for (const replica of this.#world.fleet.running) void this.#world.apps.read(client, replica, undefined, true);
      await this.#world.time.run(FINAL_PAUSE_MS);
    }
    await this.#world.time.run(longestReadMs);
    await this.#stopAll();
  }

  /** Stops every replica as SIGTERM does, and notes what is left of them. */
  async #stopAll(): Promise<void> {
    const replicas = this.#world.fleet.all.filter(({ process }) => process.alive);
    let isChecked = false;
    const check = async (): Promise<void> => {
      isChecked = true;
      for (const { name, process } of replicas) {
        const left = this.#world.time.pendingOf(process);
        if (left > 0) this.#world.store.remains(`${left} timers or waiters of ${name}`);
      }
      // If the message that releases a lease is lost, the lease ends by itself.
      if (this.#world.scenario.lossRate === 0) this.#world.store.lookForLeases();
    };
    void Promise.all(replicas.map((replica) => replica.stop(Promise.resolve()))).then(() =>
      this.#world.time.after(LEFTOVER_MS, check),
    );
    await this.#world.time.run(this.#world.recorder.bounds.longestReadMs);
    if (!isChecked) this.#world.store.remains(`${replicas.length} replicas that do not stop`);
  }
}
