// A process that renews due tokens with the broker's own worker. The vendor is a function that answers immediately.
import { LoginLimits } from '../../../src/broker/login-limits.ts';
import { RefreshWorker } from '../../../src/broker/refresh-worker.ts';
import { Renewal } from '../../../src/broker/renewal.ts';
import { TokenCache } from '../../../src/broker/token-cache.ts';
import { WriteBack } from '../../../src/broker/write-back.ts';
import { systemClock as clock } from '../../../src/token/clock.ts';
import { type Observer, silentObserver } from '../../../src/token/observer.ts';
import type { VendorLogin } from '../../../src/token/ports.ts';
import { noTracer } from '../../../src/token/tracer.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { openBrokerStore, POLICY } from '../broker-setup.ts';
import { DrainMeter, drainInput, printResult } from './drain.ts';
import { newToken, putDueRecords } from './due-records.ts';

const { redisUrl, tokens } = drainInput();
const meter = new DrainMeter(tokens);
const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const observer: Observer = {
  ...silentObserver,
  renewalEnded: (_, outcome) => outcome === 'login' && meter.count(),
  renewalFailed: (_, error) => meter.fail(error),
};
const vendor: VendorLogin = { login: async ({ subject }) => newToken(subject) };
const store = await openBrokerStore(redisUrl);
await putDueRecords(tokens, (record) => eventually(() => store.terminals.restore(record, clock.now())));

const { terminals, accounts, dueQueue, announcements, health } = store;
const common = { terminals, accounts, announcements, policy: POLICY, clock, log, observer };
const cache = new TokenCache({ announcements, clock, maxBytes: 2 ** 20, policy: POLICY });
const limits = new LoginLimits({ rates: store.rateLimiter, perHour: 0, burst: 1, log, observer });
const writeBack = new WriteBack({ ...common, health, cache });
const renewal = new Renewal({ ...common, vendor, cache, limits, writeBack, tracer: noTracer, loginBudgetMs: 12_000 });
const worker = new RefreshWorker({ ...common, dueQueue, renewal });
worker.start();
printResult(await meter.done);
await worker.stop();
await store.close();

function ignore(): void {}
