import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';
import type { Fleet } from './fleet.ts';
import { type PlainAnswer, plainRequest } from './plain-request.ts';

/** What the apps and a customer cloud use at the moment. A test may replace the functions while the load runs. */
export interface Callers {
  readonly session: (unionId: string) => Promise<string>;
  readonly adminToken: () => string;
}

export interface Load {
  /**
   * Resolves when no caller has a request in flight any more that began before, nor the session that it had then. Each
   * caller has sent several requests of each kind since.
   */
  goOn(): Promise<void>;
  /** Ends the load. @returns the requests that did not get 200 */
  end(): Promise<readonly string[]>;
}

const CALLERS = 2;
/** A session is used for this many turns of a caller. */
const TURNS_OF_SESSION = 3;
/** Between the turns of a caller. Without it the callers take the CPU that Redis needs to answer in time. */
const PAUSE_MS = 40;

/** Sends requests to the replicas in turn, until it is ended. Each kind of request needs another secret. */
export async function startLoad(fleet: Pick<Fleet, 'broker'>, callers: Callers): Promise<Load> {
  const failed: string[] = [];
  const turns = Array<number>(CALLERS).fill(0);
  let isOver = false;
  const expectOk = async (kind: string, answer: Promise<PlainAnswer>) => {
    const { status, body } = await answer.catch((error) => ({ status: 0, body: String(error) }));
    if (status !== 200) failed.push(`${kind}: ${status} ${body}`);
  };
  const act = async (caller: number) => {
    let session = '';
    for (let turn = 0; !isOver; turn += 1) {
      const broker = fleet.broker(turn + caller);
      if (turn % TURNS_OF_SESSION === 0) session = await callers.session(`known-${caller}`);
      await expectOk('read from memory', broker.getToken(session, 'phone'));
      await expectOk('read with a new session', broker.getToken(await callers.session('known'), 'phone'));
      await expectOk('login', broker.getToken(await callers.session(`new-${randomUUID()}`), 'phone'));
      const headers = { authorization: `Bearer ${callers.adminToken()}` };
      // It needs the token and no Redis, which may answer too late on a busy machine. Reads do without it then.
      await expectOk('call of the internal API', plainRequest(`${broker.adminUrl}/status`, { headers }));
      turns[caller] = turn + 1;
      await sleep(PAUSE_MS);
    }
  };
  const acting = Array.from({ length: CALLERS }, (_, caller) => act(caller));
  const goOn = async () => {
    const ends = turns.map((turn) => turn + TURNS_OF_SESSION + 1);
    await eventually(() => turns.every((turn, caller) => turn >= (ends[caller] ?? 0)), { timeoutMs: 60_000 });
  };
  const end = async () => {
    isOver = true;
    await Promise.all(acting);
    return failed;
  };
  // A test that fails does not disturb the next one.
  onTestFinished(async () => void (await end()));
  await goOn();
  return { goOn, end };
}
