import { BOUND_MS } from '../judge/facts.ts';
import type { Fault } from '../judge/recording.ts';
import { accessTokenOf } from '../support/served-token.ts';
import type { Client } from './apps.ts';
import type { Replica } from './replica.ts';
import { type FaultName, LARGEST_JUMP_MS } from './scenario.ts';
import type { World } from './world.ts';

/** The leases of a snapshot have ended. */
const YOUNGEST_SNAPSHOT_MS = 6_000;
const OLDEST_SNAPSHOT_MS = 30_000;
/** So long no other replica hears of a phone that was logged out. */
const QUIET_PHONE_MS = 15_000;

/** Everything that happens to the replicas by chance: faults, and the acts of apps and operators. */
export class Faults {
  readonly #options: World;
  #isOver = false;

  constructor(options: World) {
    this.#options = options;
  }

  start(): void {
    const { replicas, perMinute } = this.#options.scenario;
    const { time, apps } = this.#options;
    const { random } = time;
    const faults: Record<FaultName, { readonly times: number; readonly start: () => void }> = {
      partition: { times: replicas, start: () => this.#partition(200 + random() * 9_000) },
      shortPartition: { times: replicas, start: () => this.#partition(100 + random() * 700) },
      crash: { times: replicas, start: () => this.#crash(500 + random() * 5_000) },
      restart: { times: replicas, start: () => void this.#restart() },
      freeze: { times: replicas, start: () => this.#freeze(300 + random() * 12_000) },
      stall: { times: replicas, start: () => this.#stall(100 + random() * 1_900) },
      clockJump: { times: replicas, start: () => this.#jump((random() * 2 - 1) * LARGEST_JUMP_MS) },
      storeOutage: { times: 1, start: () => this.#storeOutage(200 + random() * 10_000, 'same') },
      storeEmpty: { times: 1, start: () => this.#storeOutage(200 + random() * 4_000, 'empty') },
      storeRestore: { times: 1, start: () => this.#storeOutage(200 + random() * 3_000, 'back') },
      restoreAfterLogout: { times: 1, start: () => void this.#restoreAfterLogout() },
      storeStall: { times: 1, start: () => this.#storeStall(300 + random() * 1_200) },
      vendorTrouble: { times: 1, start: () => this.#vendorTrouble(1_000 + random() * 20_000) },
      logout: { times: 1, start: () => void apps.logOut(apps.pick()) },
      erasure: { times: 1, start: () => void apps.erase(apps.pick().subject.unionId) },
      accountLogout: { times: 1, start: () => void apps.logOutEverywhere(apps.pick().subject.unionId) },
      kickOut: { times: 1, start: () => void apps.kickOut(apps.pick()) },
      kickOutUnheard: { times: 1, start: () => void this.#kickOutUnheard() },
      refusal: { times: 1, start: () => apps.report(apps.pick()) },
      refusalInStall: { times: 1, start: () => void this.#refusalInStall() },
      loginsInStall: { times: 1, start: () => void this.#loginsInStall(apps.pick()) },
      logoutAfterStall: { times: 1, start: () => void this.#logoutAfterStall() },
      logoutAfterJump: { times: 1, start: () => void this.#logoutAfterJump() },
      repeatedErasure: { times: 1, start: () => void this.#repeatedErasure() },
      sharing: { times: 1, start: () => apps.share() },
    };
    for (const [name, { times, start }] of Object.entries(faults)) {
      const rate = (perMinute[name as FaultName] ?? 0) * times;
      const next = (): void => {
        const waitMs = (-Math.log(1 - random()) * 60_000) / rate;
        time.after(waitMs, () => {
          if (this.#isOver) return;
          start();
          next();
        });
      };
      if (rate > 0) next();
    }
  }

  /** Ends all faults. */
  end(): void {
    const { server, vendor, fleet, recorder } = this.#options;
    this.#isOver = true;
    if (!server.isUp) server.start();
    vendor.mood = 'well';
    // A frozen replica stays frozen. Its work waits until then.
    for (const { connection } of fleet.all) connection.join();
    // Their effects may last for a while.
    recorder.fault({ kind: 'lost-message', description: 'the faults end' });
  }

  #fault(kind: Fault['kind'], ms: number, description: string, replica?: Replica): void {
    const { recorder, note } = this.#options;
    recorder.fault({ kind, description, replica: replica?.number }, ms);
    note(description);
  }

  // --- replicas and their network

  #partition(ms: number, replica = this.#options.fleet.pick()): void {
    if (!replica) return;
    replica.connection.cut();
    this.#fault('link', ms, `${replica.name} is cut off from the store for ${Math.round(ms)} ms`, replica);
    this.#options.time.after(ms, () => replica.connection.join());
  }

  #crash(restartMs: number): void {
    const { time, fleet, apps } = this.#options;
    const replica = fleet.pick();
    if (!replica || fleet.running.length < 2) return;
    replica.crash();
    this.#fault('kill', 0, `${replica.name} crashes`, replica);
    time.after(restartMs, () => {
      fleet.remove(replica);
      if (apps.isOpen) fleet.start();
    });
  }

  /** Replaces a replica as a rolling update does. This is no fault: no read may fail, and no login may be repeated. */
  async #restart(): Promise<void> {
    const { fleet, apps, note } = this.#options;
    const replica = fleet.pick();
    if (!replica) return;
    note(`${replica.name} is replaced`);
    fleet.start();
    fleet.remove(replica);
    await replica.stop(apps.readsOf(replica));
    replica.process.alive = false;
    this.#fault('replaced', 0, `${replica.name} has ended`, replica);
  }

  #freeze(ms: number): void {
    this.#standStill('freeze', ms);
  }

  /** Shorter than a lease. So it is no fault: everybody else answers, and nobody may notice. */
  #stall(ms: number): void {
    this.#standStill('short-stall', ms);
  }

  #standStill(kind: 'freeze' | 'short-stall', ms: number): void {
    const { time, fleet } = this.#options;
    const replica = fleet.pick();
    if (!replica || fleet.running.length < 2) return;
    replica.process.frozenUntil = time.now + ms;
    this.#fault(kind, ms, `${replica.name} stands still for ${Math.round(ms)} ms`, replica);
  }

  #jump(offsetMs: number, replica = this.#options.fleet.pick()): void {
    const { note } = this.#options;
    if (!replica) return;
    replica.process.clockOffsetMs = Math.round(offsetMs);
    note(`the clock of ${replica.name} jumps to ${Math.round(offsetMs)} ms from the true time`);
  }

  // --- the store and the vendor

  #storeOutage(ms: number, comesBack: 'same' | 'empty' | 'back'): void {
    const { time, server } = this.#options;
    if (!server.isUp) return;
    server.stop();
    const snapshotAt = time.now - YOUNGEST_SNAPSHOT_MS - time.random() * (OLDEST_SNAPSHOT_MS - YOUNGEST_SNAPSHOT_MS);
    const ending = {
      same: '',
      empty: ' and loses its data',
      back: ` and loses what came after ${((snapshotAt - time.startedAt) / 1_000).toFixed(3)} s`,
    };
    this.#fault('redis-restart', ms, `the store is down for ${Math.round(ms)} ms${ending[comesBack]}`);
    time.after(ms, () => this.#startStore(comesBack, snapshotAt));
  }

  #startStore(comesBack: 'same' | 'empty' | 'back', snapshotAt: number): void {
    const { time, server, recorder } = this.#options;
    // The faults of the schedule have ended, so no data may be lost.
    if (server.isUp) return;
    if (comesBack === 'empty') server.loseData();
    if (comesBack === 'back') server.goBack(snapshotAt);
    const dataOf = snapshotAt - time.startedAt;
    if (comesBack === 'empty') recorder.fault({ kind: 'redis-empty', description: '' });
    if (comesBack === 'back') recorder.fault({ kind: 'redis-old', description: '', dataOf });
    server.start();
  }

  #storeStall(ms: number): void {
    this.#options.server.stall(ms);
    this.#fault('redis-stall', ms, `the store stalls for ${Math.round(ms)} ms`);
  }

  #vendorTrouble(ms: number): void {
    const { scenario, time, vendor } = this.#options;
    const { vendorMoods } = scenario;
    vendor.mood = vendorMoods[Math.floor(time.random() * vendorMoods.length)] ?? 'http_error';
    this.#fault('vendor', ms, `the vendor is in trouble for ${Math.round(ms)} ms: ${vendor.mood}`);
    time.after(ms, () => {
      vendor.mood = 'well';
    });
  }

  // --- acts of apps and operators beside faults

  /** The token that is due next is reported, so that its renewal in the background may come at the same time. */
  async #refusalInStall(): Promise<void> {
    const { fleet, apps, vendor } = this.#options;
    const endOf = ({ held }: Client): number => vendor.endOf(held ? accessTokenOf(held) : '');
    const [oldest] = [...apps.clients].sort((one, other) => endOf(one) - endOf(other));
    const replica = fleet.pick();
    if (!oldest || !replica) return;
    this.#storeStall(500);
    await this.#wait(20);
    apps.report(oldest, replica);
  }

  /** No read tells a replica that the store has forgotten it. */
  async #restoreAfterLogout(): Promise<void> {
    const { time, apps } = this.#options;
    const { random } = time;
    const client = apps.pick();
    for (const phone of apps.clients) {
      if (phone.terminal.account === client.terminal.account) phone.silentUntil = time.now + QUIET_PHONE_MS;
    }
    const { unionId } = client.subject;
    const acts = [() => apps.logOut(client), () => apps.erase(unionId), () => apps.logOutEverywhere(unionId)] as const;
    const hasSucceeded = await (acts[Math.floor(random() * acts.length)] as () => Promise<boolean>)();
    if (!hasSucceeded) return;
    await this.#wait(random() * YOUNGEST_SNAPSHOT_MS);
    this.#storeOutage(200 + random() * 2_000, 'back');
  }

  /** @returns the length of the stall; `undefined`: the logout before it failed, so nothing happened */
  async #loginsInStall(client: Client): Promise<number | undefined> {
    const { time, fleet, apps } = this.#options;
    const { random } = time;
    if (!(await apps.logOut(client))) return undefined;
    const stallMs = 300 + random() * 1_200;
    this.#storeStall(stallMs);
    await this.#wait(10 + random() * 200);
    for (const replica of [fleet.pick(), fleet.pick()]) if (replica) void apps.read(client, replica);
    return stallMs;
  }

  /** The logout or the erasure comes while the logins may still run. */
  async #logoutAfterStall(): Promise<void> {
    const { time, apps } = this.#options;
    const client = apps.pick();
    const stallMs = await this.#loginsInStall(client);
    if (stallMs === undefined) return;
    await this.#wait(stallMs + time.random() * 2_500);
    const { unionId } = client.subject;
    const chance = time.random();
    if (chance < 0.4) await apps.logOut(client);
    else await (chance < 0.7 ? apps.erase(unionId) : apps.logOutEverywhere(unionId));
  }

  /** A replica learns of a new token, its clock is set back, and it is cut off while another one logs the phone out. */
  async #logoutAfterJump(): Promise<void> {
    const { time, fleet, apps } = this.#options;
    const { random } = time;
    const client = apps.pick();
    const [one, other] = [fleet.pick(), fleet.pick()];
    if (!one || !other || one === other || !client.held) return;
    client.silentUntil = time.now + QUIET_PHONE_MS;
    await apps.read(client, other, client.held);
    await this.#wait(100);
    await apps.read(client, one);
    this.#jump(-LARGEST_JUMP_MS * (0.3 + 0.7 * random()), one);
    this.#partition(300 + random() * 400, one);
    await this.#wait(50);
    await apps.logOut(client, other);
    for (let read = 0; read < 3; read += 1) {
      await this.#wait(5_000 * random());
      await apps.read(client, one);
    }
  }

  /** The phone asks the replica again once that must know what it has missed. */
  async #kickOutUnheard(): Promise<void> {
    const { time, fleet, apps } = this.#options;
    const client = apps.pick();
    const [one, other] = [fleet.pick(), fleet.pick()];
    if (!one || !other || one === other) return;
    const cutMs = 300 + time.random() * 2_000;
    client.silentUntil = time.now + QUIET_PHONE_MS;
    await apps.read(client, one);
    this.#partition(cutMs, one);
    await this.#wait(50);
    await apps.kickOut(client, other);
    await this.#wait(cutMs + BOUND_MS + time.random() * 10_000);
    await apps.read(client, one);
  }

  /** The link of a replica stalls, so that its erasure fails. The operator repeats it, and the user comes back. */
  async #repeatedErasure(): Promise<void> {
    const { time, fleet, apps } = this.#options;
    const client = apps.pick();
    const [one, other] = [fleet.pick(), fleet.pick()];
    if (!one || !other) return;
    const ms = 300 + time.random() * 3_000;
    one.connection.stallLink(ms);
    this.#fault('link', ms, `the link of ${one.name} to the store stalls for ${Math.round(ms)} ms`, one);
    if (await apps.erase(client.subject.unionId, one)) return;
    await this.#wait(time.random() * 500);
    if (!(await apps.erase(client.subject.unionId, other))) return;
    await this.#wait(100);
    for (const phone of apps.clients)
      if (phone.terminal.account === client.terminal.account) phone.sessionIssuedAt = Math.ceil(time.now);
  }

  #wait(ms: number): Promise<void> {
    const { time } = this.#options;
    return new Promise((resolve) => void time.after(ms, resolve));
  }
}
