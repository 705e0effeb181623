import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { listen } from '../../src/simulator/http-server.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';
import { SUCCESS } from '../unit/vendor-api/scripted-vendor.ts';

const ATTACK_MS = 2_000;

type Answer = readonly [status: number, body: object, headers?: Readonly<Record<string, string>>];

/** The answers of the vendor to each of the bad accounts. The last one slows down all logins of the broker. */
const ANSWERS: ReadonlyMap<string, Answer> = new Map<string, Answer>([
  ['unknown-code', [200, { code: 77_777, msg: 'no such place', requestId: 'r' }]],
  ['http-error', [500, {}]],
  ['too-frequent', [429, { code: 10_015, msg: 'too frequent', requestId: 'r' }, { 'retry-after': '1' }]],
]);

let fleet: Fleet;
/** The logins of each account. */
const logins = new Map<string, number>();

beforeAll(async () => {
  const vendor = await listen('127.0.0.1', 0, async (request, response) => {
    const { unionId } = JSON.parse(await text(request)) as { unionId: string };
    logins.set(unionId, (logins.get(unionId) ?? 0) + 1);
    const [status, body, headers = {}] = ANSWERS.get(unionId) ?? [200, SUCCESS];
    response.writeHead(status, headers).end(JSON.stringify(body));
  });
  fleet = await startFleet({ replicas: 1, env: { VENDOR_BASE_URL: vendor.url } });
  return () => Promise.all([fleet.close(), vendor.close()]);
});

test.each([...ANSWERS.keys()])(
  'one account to which the vendor answers %s costs no other account its login, and no known token its read',
  async (bad) => {
    const broker = fleet.broker(0);
    const [badSession, known] = [await fleet.session(bad), await fleet.session('known')];
    expect((await broker.getToken(known, 'phone')).status).toBe(200);
    const sessions = await Promise.all(
      Array.from({ length: 20 }, (_, number) => fleet.session(`new-${number}-beside-${bad}`)),
    );

    let isOver = false;
    const startedAt = performance.now();
    const attack = Array.from({ length: 10 }, async (_, loop) => {
      for (let round = 0; !isOver; round += 1) {
        // Ever new terminals, so that only a back-off of the account bounds its logins.
        await broker.getToken(badSession, `phone-${loop}-${round}`);
        await sleep(50);
      }
    });
    await readDuring(broker, [known], () => sleep(ATTACK_MS));
    const served: number[] = [];
    for (const session of sessions) {
      const { status } = await broker.getToken(session, 'phone');
      if (status === 200) served.push(status);
    }
    isOver = true;
    await Promise.all(attack);

    expect(served).toHaveLength(20);
    // Ten logins begin at once, with at most three attempts each. Then the account backs off: 0.5 s, 1 s, 2 s, 4 s.
    const backOffs = Math.floor(Math.log2((performance.now() - startedAt) / 500 + 1));
    expect(logins.get(bad)).toBeGreaterThan(9);
    expect(logins.get(bad)).toBeLessThanOrEqual(30 * (backOffs + 2));
  },
);
