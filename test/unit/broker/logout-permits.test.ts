import { describe, expect, test } from 'vitest';
import { LoginLimits } from '../../../src/broker/login-limits.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { TestClock } from '../../support/test-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
/** As many refused tokens of a terminal are replaced at once. */
const REFUSED_BURST = 3;

describe('a logout', () => {
  test('takes no permit for a refused token, so as many of them are replaced after it as before', async () => {
    const clock = new TestClock();
    const { broker, accounts } = brokerParts({ clock, perHour: 1_000 });
    const session = { sessionIssuedAt: clock.now() };
    const read = (refused?: string) => broker.read({ subject: SUBJECT, region: 'CN', ...session, refused });
    for (let logout = 0; logout <= REFUSED_BURST; logout += 1) await accounts.logOut(SUBJECT, session);
    clock.advance(1);
    let { etag } = await read();
    for (let report = 0; report < REFUSED_BURST; report += 1) {
      const replaced = await read(etag);
      expect(replaced.etag).not.toBe(etag);
      etag = replaced.etag;
    }
    await expect(read(etag)).rejects.toMatchObject({ code: 'rate_limited' });
  });

  test('that was refused gives back the permit of the account, and none for a refused token', async () => {
    const clock = new TestClock();
    const { rateLimiter } = createMemoryStore({ clock, terminalsPerAccount: 20 });
    const { logger: log } = captureLog('debug');
    const options = { rateLimiter, loginsPerHour: 60, loginBurst: 20, log, observer: silentObserver };
    const limits = new LoginLimits(options);
    for (let report = 0; report < REFUSED_BURST; report += 1) await limits.admit(ID, 'refused');
    await limits.admit(ID, 'logout');
    await limits.giveBack(ID, 'logout');
    await expect(limits.admit(ID, 'refused')).rejects.toMatchObject({ code: 'rate_limited' });
    for (let login = REFUSED_BURST; login < 20; login += 1) await limits.admit(ID, 'new');
    await expect(limits.admit(ID, 'new')).rejects.toMatchObject({ code: 'rate_limited' });
  });
});
