// A process that renews what is due as a replica of the broker does, with a vendor that answers at once.
import { LoginLimits } from '../../../src/broker/login-limits.ts';
import { RefreshWorker } from '../../../src/broker/refresh-worker.ts';
import { Renewal } from '../../../src/broker/renewal.ts';
import { WriteBack } from '../../../src/broker/store-outage.ts';
import { TokenCache } from '../../../src/broker/token-cache.ts';
import { systemClock as clock } from '../../../src/token/clock.ts';
import { type Observer, silentObserver } from '../../../src/token/observer.ts';
import type { VendorLogin } from '../../../src/token/ports.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { openBrokerStore } from '../broker-store.ts';
import { Drain } from './drain.ts';
import { drainInput, tell } from './drain-process.ts';
import { newToken, POLICY, putDueRecords } from './due-records.ts';

const { redisUrl, tokens } = drainInput();
const drain = new Drain(tokens);
const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const observer: Observer = {
  ...silentObserver,
  renewalEnded: (_, outcome) => outcome === 'login' && drain.count(),
  renewalFailed: (_, error) => drain.fail(error),
};
const vendor: VendorLogin = { login: async ({ subject }) => newToken(subject) };
const store = await openBrokerStore(redisUrl);
await putDueRecords(tokens, (record) => eventually(() => store.terminals.restore(record, clock.now())));

const { terminals, dueQueue, announcements, health } = store;
const common = { terminals, announcements, policy: POLICY, clock, log, observer };
const cache = new TokenCache({ announcements, clock, maxBytes: 2 ** 20, renewFrom: () => 0 });
const limits = new LoginLimits({ rates: store.rateLimiter, perMinute: 0, log, observer });
const writeBack = new WriteBack({ ...common, health, cache });
const renewal = new Renewal({ ...common, vendor, cache, limits, writeBack, loginBudgetMs: 7_500 });
const worker = new RefreshWorker({ ...common, dueQueue, renewal });
worker.start();
tell(await drain.done);
await worker.stop();
await store.close();

function ignore(): void {}
