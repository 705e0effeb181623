import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import type { Fault } from '../../src/simulator/vendor-settings.ts';
import { refreshAt } from '../../src/token/renewal-timing.ts';
import { PROACTIVE } from '../support/broker-parts.ts';
import { readFile } from '../support/documents.ts';
import { eventually } from '../support/eventually.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { openRedisStore } from '../support/filled-store.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { LIFE_MS, madeUpRecord } from '../support/made-up-tokens.ts';
import { plainRequest } from '../support/plain-request.ts';
import { type PrometheusServer, startPrometheus } from '../support/prometheus-server.ts';
import { askRedis, type RedisServer, startRedis } from '../support/redis-server.ts';
import { reportFault } from './fault-report.ts';

/** The rules run at 30 times their speed: a minute of a rule is two seconds here. */
const FACTOR = 30;
const LOGINS_PER_SECOND = 10;
/** In seconds. */
const LONG_LIFE = 30 * 86_400;
/** REFRESH_AT. */

/** Alerts that have only unit tests (`promtool test rules`), and why no fault here can fire them. */
const NOT_PLAYED = new Map([['InternalErrors', 'only a mistake in the program makes a read fail with `internal`']]);

interface Phase {
  readonly fault: string;
  /** Names of the alerts without `SdkTokenBroker`. All of them must fire, and no other one. */
  readonly alerts: readonly string[];
  begin?(): unknown;
  /** Called each `everyMs` while the fault lasts. */
  again?(): unknown;
  readonly everyMs?: number;
  end?(): unknown;
  /** The fault before goes on, and so do its alerts. */
  readonly isOnTop?: true;
}

/** Calls `once` every `everyMs`, whatever it returns, until the result is called. */
function repeat(everyMs: number, once: () => unknown): () => void {
  const timer = setInterval(() => void Promise.resolve(once()).catch(() => undefined), everyMs);
  return () => clearInterval(timer);
}

async function firing(prometheus: PrometheusServer): Promise<string[]> {
  const alerts = await prometheus.alerts();
  const names = alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels['alertname'] ?? '');
  return [...new Set(names)].map((name) => name.replace('SdkTokenBroker', '')).sort();
}

/** Plays one fault until its alerts fire, and three seconds longer. @returns the seconds after which each alert fired */
async function play(phase: Phase, prometheus: PrometheusServer): Promise<Map<string, number>> {
  const startedAt = performance.now();
  const fired = new Map<string, number>();
  await phase.begin?.();
  const stop = repeat(phase.everyMs ?? 1_000, () => phase.again?.());
  try {
    const look = async () => {
      for (const name of await firing(prometheus))
        if (!fired.has(name)) fired.set(name, (performance.now() - startedAt) / 1_000);
      return phase.alerts.every((name) => fired.has(name));
    };
    await eventually(look, { timeoutMs: 60_000, everyMs: 250 }).catch(() => undefined);
    await sleep(3_000);
    await look();
  } finally {
    stop();
    await phase.end?.();
  }
  return fired;
}

async function startAll() {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const proxy = await startFaultProxy(redis.port);
  onTestFinished(() => proxy.close());
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const adminTokens = join(folder, 'ADMIN_TOKENS');
  writeFileSync(adminTokens, 'test:0123456789abcdef');
  const cloud = await startCustomerCloud();
  onTestFinished(() => cloud.close());
  const { port, pathname } = new URL(cloud.jwksUrl);
  const keyProxy = await startFaultProxy(Number(port));
  onTestFinished(() => keyProxy.close());
  const fleet = await startFleet({
    replicas: 3,
    env: {
      REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
      ADMIN_TOKENS_FILE: adminTokens,
      VENDOR_MAX_RPS: `${LOGINS_PER_SECOND}`,
      ...cloud.brokerEnvironment,
      SESSION_JWT_JWKS_URL: `http://127.0.0.1:${keyProxy.port}${pathname}`,
    },
  });
  onTestFinished(() => fleet.close());
  const strangers = await startCustomerCloud();
  onTestFinished(() => strangers.close());
  const prometheus = await startPrometheus(
    fleet.brokers.map(({ adminUrl }) => new URL(adminUrl).host),
    FACTOR,
  );
  onTestFinished(() => prometheus.stop());
  return { redis, proxy, keyProxy, cloud, adminTokens, fleet, strangers, prometheus };
}

/** Puts tokens of other accounts into the store, all due now. */
async function storeDueTokens({ url }: RedisServer, { keyPrefix, env }: Fleet, count: number): Promise<void> {
  const [id = '', key = ''] = env['TOKEN_ENCRYPTION_KEYS']?.split(':') ?? [];
  const store = await openRedisStore(url, keyPrefix, [{ id, key: Buffer.from(key, 'base64') }]);
  const now = Date.now();
  const restoreDue = (number: number) => {
    const record = madeUpRecord({ app: 'default', unionId: `due-${number}`, uniqueId: 'phone' });
    const token = { ...record.token, issuedAt: 0, expiresAt: LIFE_MS };
    const issuedAt = now - refreshAt({ ...record, token }, PROACTIVE);
    return store.terminals.restore(
      { ...record, token: { ...record.token, issuedAt, expiresAt: issuedAt + LIFE_MS } },
      now,
    );
  };
  for (let at = 0; at < count; at += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, number) => restoreDue(at + number)));
  }
  await store.close();
}

/** Lets a process have no CPU for the given time of each second. Returns the function that ends it. */
function starve(pid: number, stoppedMs: number): () => void {
  let resumed: NodeJS.Timeout | undefined;
  const stop = repeat(1_000, () => {
    process.kill(pid, 'SIGSTOP');
    resumed = setTimeout(() => process.kill(pid, 'SIGCONT'), stoppedMs);
  });
  return () => {
    stop();
    clearTimeout(resumed);
    process.kill(pid, 'SIGCONT');
  };
}

/** Reads by known terminals, 20 in a second. @returns the function that ends them */
async function readKnownTokens(fleet: Fleet, session: string): Promise<() => void> {
  for (const broker of fleet.brokers) await broker.getToken(session, 'phone');
  let round = 0;
  return repeat(50, () => {
    round += 1;
    return fleet.broker(round).getToken(session, 'phone');
  });
}

test('each fault fires exactly its alerts in a real Prometheus, and a fleet without faults fires none', async () => {
  const { redis, proxy, keyProxy, cloud, adminTokens, fleet, strangers, prometheus } = await startAll();
  const session = (of: CustomerCloud, unionId: string) => of.issueSession({ unionId, region: 'DE' });
  onTestFinished(await readKnownTokens(fleet, await session(cloud, 'known')));
  let number = 0;
  const newTerminal = async (of = cloud) => {
    number += 1;
    return fleet.broker(number).getToken(await session(of, `new-${number}`), 'phone');
  };
  const vendorFault = (fault: Fault) => ({
    begin: () => fleet.vendor.configure({ fault }),
    end: () => fleet.vendor.configure({ fault: 'none' }),
  });
  let endStarvation = (): void => undefined;

  const phases: readonly Phase[] = [
    { fault: 'none', alerts: [], again: newTerminal },
    {
      fault: 'the vendor has frozen the app',
      alerts: ['VendorRefusesLogins'],
      again: () => newTerminal(),
      ...vendorFault('frozen-app'),
    },
    {
      fault: 'the vendor answers with HTML to a few logins',
      alerts: ['VendorAnswersBroken'],
      again: () => newTerminal(),
      ...vendorFault('html'),
    },
    {
      fault: 'the vendor answers 500 to many new terminals',
      alerts: ['ReadsFail', 'VendorDomainDown'],
      again: () => newTerminal(),
      everyMs: 80,
      ...vendorFault('http-500'),
    },
    {
      fault: 'Redis refuses connections',
      alerts: ['RedisTrouble'],
      again: () => newTerminal(),
      begin: () => proxy.set({ kind: 'refuse' }),
      end: () => proxy.set({ kind: 'none' }),
    },
    {
      fault: 'Redis loses its data',
      alerts: ['RedisLostData'],
      begin: () => askRedis(redis, (client) => client.flushall()),
    },
    {
      fault: 'sessions are signed with a key that the broker does not know',
      alerts: ['SessionsRefused'],
      again: () => newTerminal(strangers),
      everyMs: 20,
    },
    {
      fault: 'a caller of the internal API has a wrong token',
      alerts: ['AdminTokensRefused'],
      again: () =>
        plainRequest(`${fleet.broker(0).adminUrl}/accounts/a`, {
          headers: { authorization: 'Bearer an-old-admin-token' },
        }),
    },
    {
      fault: 'a secret file is not valid after SIGHUP',
      alerts: ['SecretReloadRefused'],
      begin: () => {
        writeFileSync(adminTokens, 'test:short');
        process.kill(fleet.broker(0).pid, 'SIGHUP');
      },
      end: () => writeFileSync(adminTokens, 'test:0123456789abcdef'),
    },
    {
      fault: 'keys of an unknown session cannot be fetched',
      alerts: ['SessionChecksUnavailable'],
      begin: () => keyProxy.set({ kind: 'refuse' }),
      again: () => newTerminal(strangers),
      everyMs: 1_500,
      end: () => keyProxy.set({ kind: 'none' }),
    },
    {
      fault: 'the vendor limits the rate of logins, so that none succeeds',
      alerts: ['NoLoginSucceeds'],
      again: () => newTerminal(),
      everyMs: 2_000,
      ...vendorFault('too-frequent'),
    },
    {
      fault: 'more new terminals than VENDOR_MAX_RPS allows',
      alerts: ['LoginBudgetSpent', 'ReadsFail'],
      again: () => newTerminal(),
      everyMs: 1_000 / (2 * LOGINS_PER_SECOND),
    },
    {
      fault: "the vendor's clock is 200 s ahead",
      alerts: ['VendorClockOff'],
      begin: () => fleet.vendor.configure({ clockOffsetMs: 200_000 }),
      again: () => newTerminal(),
      end: () => fleet.vendor.configure({ clockOffsetMs: 0 }),
    },
    {
      fault: 'the vendor issues tokens of 40 s',
      alerts: ['TokensAboutToEnd'],
      begin: () => fleet.vendor.configure({ tokenLifetimeSeconds: 40 }),
      again: () => newTerminal(),
      end: () => fleet.vendor.configure({ tokenLifetimeSeconds: LONG_LIFE }),
    },
    {
      fault: 'the vendor refuses to renew two tokens until they end',
      alerts: ['TokensExpiredUnrenewed'],
      begin: async () => {
        fleet.vendor.configure({ tokenLifetimeSeconds: 15 });
        for (let terminal = 0; terminal < 2; terminal += 1) await newTerminal();
        fleet.vendor.configure({ tokenLifetimeSeconds: LONG_LIFE, fault: 'too-frequent' });
      },
      end: () => fleet.vendor.configure({ fault: 'none' }),
    },
    {
      fault: 'more tokens fall due at once than VENDOR_MAX_RPS allows',
      alerts: ['RenewalBacklog', 'RenewalsLate', 'RenewalsOverdue'],
      begin: () => storeDueTokens(redis, fleet, 55 * LOGINS_PER_SECOND),
    },
    {
      fault: 'a replica gets no CPU for 0.65 of each second',
      alerts: ['Overloaded'],
      begin: () => {
        endStarvation = starve(fleet.broker(0).pid, 650);
      },
      end: () => endStarvation(),
    },
    {
      fault: 'one of three replicas is killed',
      alerts: ['ReplicaDown'],
      begin: async () => {
        // All replicas still run, and every metric has moved.
        await expectDataInDashboard(prometheus);
        process.kill(fleet.broker(2).pid, 'SIGKILL');
      },
    },
    {
      fault: 'the other two replicas are killed as well',
      alerts: ['Down', 'ReplicaDown'],
      begin: () => [0, 1].map((replica) => process.kill(fleet.broker(replica).pid, 'SIGKILL')),
      isOnTop: true,
    },
  ];
  const names = phases.flatMap(({ alerts }) => alerts);
  expect(new Set([...names, ...NOT_PLAYED.keys()])).toEqual(new Set(alertsOfRules()));

  const results: Record<string, string[]> = {};
  for (const phase of phases) {
    // No alert of the fault before is active. A circuit closes only when its replica tries a login.
    const isQuiet = async () => (await newTerminal()).status === 200 && (await prometheus.alerts()).length === 0;
    if (!phase.isOnTop) await eventually(isQuiet, { timeoutMs: 90_000, everyMs: 500 });
    if (phase.fault === 'none') await sleep(12_000);
    const fired = await play(phase, prometheus);
    results[phase.fault] = [...fired.keys()].sort();
    const times = [...fired].map(([name, seconds]) => `${name} after ${((seconds * FACTOR) / 60).toFixed(1)} min`);
    reportFault({
      fault: `${phase.fault}; a real Prometheus, 3 replicas, rules at ${FACTOR} times their speed`,
      promise: `alerts: ${phase.alerts.join(', ') || 'none'}`,
      measured: times.join(', ') || 'none',
    });
  }
  expect(results).toEqual(Object.fromEntries(phases.map(({ fault, alerts }) => [fault, [...alerts].sort()])));
}, 1_500_000);

function alertsOfRules(): string[] {
  const rules = readFile('deploy/prometheus/rules.yml').matchAll(/- alert: SdkTokenBroker(\w+)/g);
  return [...rules].map(([, name = '']) => name);
}

async function expectDataInDashboard(prometheus: PrometheusServer): Promise<void> {
  const { panels } = JSON.parse(readFile('deploy/grafana/dashboard.json')) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const empty: string[] = [];
  for (const { title, targets = [] } of panels) {
    for (const { expr } of targets) {
      const query = expr.replaceAll('$__rate_interval', '10s').replaceAll('$namespace', '.*');
      if ((await prometheus.seriesOf(query)) === 0) empty.push(title);
    }
  }
  expect(empty).toEqual([]);
}
