import { expect, onTestFinished, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { noTracer } from '../../../src/token/tracer.ts';
import { createVendorLogin } from '../../../src/vendor-api/login.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { virtualClock } from '../../support/virtual-clock.ts';
import { IOS } from '../vendor-api/running-vendor-login.ts';
import { DATA } from '../vendor-api/scripted-vendor.ts';

const LIFE_MS = 60_000;
const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

test.each([
  { perSecond: 10, newcomers: 0, tokens: 40 },
  { perSecond: 10, newcomers: 20, tokens: 40 },
  { perSecond: 10, newcomers: 50, tokens: 40 },
  { perSecond: 50, newcomers: 100, tokens: 200 },
])(
  'two replicas with a budget of $perSecond/s renew $tokens tokens in time, although $newcomers newcomers a second want it',
  async ({ perSecond, newcomers, tokens }) => {
    const { clock, pass } = virtualClock();
    const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
    const replicas = Array.from({ length: 2 }, () => {
      const vendor = createVendorLogin({
        baseUrl: new URL('http://vendor.test'),
        regionUrls: new Map(),
        apps: () => new Map([[IOS.name, IOS]]),
        timeoutMs: 5_000,
        queue: store.loginQueue,
        openOwnQueue: async () => store.loginQueue,
        rates: store.rateLimiter,
        maxPerSecond: perSecond,
        clock,
        log: QUIET,
        observer: silentObserver,
        tracer: noTracer,
        transport: {
          post: async ({ body }) => {
            await sleep(clock, 100);
            // The renewals of newcomers would exceed the budget by themselves.
            const isNewcomer = JSON.parse(String(body)).unionId.startsWith('new');
            const data = { ...DATA, expireTime: isNewcomer ? 3_600 : LIFE_MS / 1_000 };
            return {
              status: 200,
              text: JSON.stringify({ code: 0, data }),
              dateHeader: undefined,
              retryAfter: undefined,
            };
          },
        },
      });
      return brokerParts({ clock, store, vendor, loginBudgetMs: 12_000 });
    });
    const read = async (unionId: string, number: number): Promise<void> => {
      const subject = { app: 'ios', unionId, uniqueId: 'phone' };
      const request = { subject, region: 'CN', sessionIssuedAt: clock.now() };
      try {
        await replicas[number % 2]?.broker.read(request);
      } catch {
        // A newcomer may find no place.
      }
    };
    // The tokens, at the pace of the budget.
    for (let number = 0; number < tokens; number += 1) {
      void read(`account-${number}`, number);
      await pass(1_000 / perSecond);
    }
    await pass(1_000);
    const first = await Promise.all(
      Array.from({ length: tokens }, async (_, number) => {
        const id = subjectId({ app: 'ios', unionId: `account-${number}`, uniqueId: 'phone' });
        return { id, record: (await store.terminals.read(id)).record };
      }),
    );
    for (const { worker } of replicas) worker.start();
    onTestFinished(() => void replicas.map(({ worker }) => worker.stop()));
    const late = new Set<string>();
    for (let passedMs = 0; passedMs < LIFE_MS; passedMs += 10) {
      if (newcomers > 0 && passedMs % (1_000 / newcomers) === 0) void read(`new-${passedMs}`, passedMs / 10);
      await pass(10);
      if (passedMs % 100 > 0) continue;
      for (const { id, record } of first) {
        if (!record || clock.now() < record.token.expiresAt || clock.now() > record.token.expiresAt + 100) continue;
        const now = (await store.terminals.read(id)).record;
        if ((now?.generation ?? 0) <= record.generation) late.add(id);
      }
    }
    expect(first.filter(({ record }) => !record)).toEqual([]);
    expect(late.size).toBe(0);
  },
);
