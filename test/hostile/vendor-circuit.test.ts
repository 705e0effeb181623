import { expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';
import { json, SUCCESS, scriptedVendor } from '../unit/vendor-api/scripted-vendor.ts';

const ATTACK_MS = 2_000;

const UNKNOWN_CODE = json({ code: 77_777, msg: 'no such place', requestId: 'r' });
const TOO_FREQUENT = json({ code: 10_015, msg: 'too frequent', requestId: 'r' }, 429, { 'retry-after': '1' });
const HTTP_ERROR = json('<html>', 500);
/** The answers of the vendor to each of the bad accounts. */
const ANSWERS = new Map([
  ['unknown-code', UNKNOWN_CODE],
  ['too-frequent', TOO_FREQUENT],
  ['http-error', HTTP_ERROR],
]);

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test.each([...ANSWERS.keys()])(
  'one account to which the vendor answers %s costs no other account its login, and no known token its read',
  async (bad) => {
    let badLogins = 0;
    const vendor = await scriptedVendor((response, seen, index) => {
      const { unionId } = JSON.parse(seen.body.toString()) as { unionId: string };
      if (unionId === bad) badLogins += 1;
      (ANSWERS.get(unionId) ?? json(SUCCESS))(response, seen, index);
    });
    const fleet = await startFleet({ replicas: 1, env: { VENDOR_BASE_URL: vendor.url.href } });
    onTestFinished(() => fleet.close());
    const broker = fleet.broker(0);
    const [badSession, known] = [await fleet.session(bad), await fleet.session('known')];
    expect((await broker.getToken(known, 'phone')).status).toBe(200);
    const sessions = await Promise.all(Array.from({ length: 20 }, (_, number) => fleet.session(`new-${number}`)));

    let isOver = false;
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
    expect(badLogins).toBeGreaterThan(9);
    expect(badLogins).toBeLessThanOrEqual(150);
  },
);
