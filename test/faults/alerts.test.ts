import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import type { Fault } from '../../src/simulator/vendor-settings.ts';
import { FINDINGS, type FindingCode } from '../../src/token/findings.ts';
import { refreshAt } from '../../src/token/renewal-timing.ts';
import { PROACTIVE } from '../support/broker-parts.ts';
import { startBroker } from '../support/broker-process.ts';
import { readFile } from '../support/documents.ts';
import { eventually } from '../support/eventually.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { openRedisStore } from '../support/filled-store.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { LIFE_MS, madeUpRecord } from '../support/made-up-tokens.ts';
import { newFolder } from '../support/new-folder.ts';
import { plainRequest } from '../support/plain-request.ts';
import { type PrometheusServer, startPrometheus } from '../support/prometheus-server.ts';
import { askRedis, type RedisServer, startRedis } from '../support/redis-server.ts';
import { reportFault } from './fault-report.ts';

/**
 * The minutes of a rule are two seconds here. The findings, and the 30 s after which a critical one pages, are real.
 */
const FACTOR = 30;
const LOGINS_PER_SECOND = 10;
/** In seconds. */
const LONG_LIFE = 30 * 86_400;
/** How long the alerts are watched after the last one that must fire, and after the verdict is right. */
const AFTERWARDS_MS = 5_000;

/** Alerts that have only unit tests (`promtool test rules`), and why no fault here fires them. */
const NOT_PLAYED = new Map([
  ['InternalErrors', 'only a mistake in the program makes a read fail with `internal`'],
  ['TokensWrittenBack', 'it looks at the last hour'],
  ['LogLinesLost', 'the tests read the log'],
]);
/** A target at which nobody answers. */
const NOBODY = '127.0.0.1:1';

interface Installation {
  readonly fleet: Fleet;
  readonly cloud: CustomerCloud;
  /** Issues sessions that the broker does not know. */
  readonly strangers: CustomerCloud;
  readonly redis: RedisServer;
  /** In front of Redis, and of the keys of the cloud. */
  readonly redisProxy: Awaited<ReturnType<typeof startFaultProxy>>;
  readonly keyProxy: Awaited<ReturnType<typeof startFaultProxy>>;
  readonly adminTokens: string;
  readonly prometheus: PrometheusServer;
  /** A first read of an account that nobody knows yet. */
  newTerminal(of?: CustomerCloud): Promise<unknown>;
}

interface Played {
  readonly fault: string;
  /** All of them must be shown by the first replica, and fire, and no other one. */
  readonly findings?: readonly FindingCode[];
  /** Names of the alerts about no finding, without `SdkTokenBroker`. All of them must fire, and no other one. */
  readonly alerts?: readonly string[];
  /** Alerts and findings that are right, too, while the fault goes on: before the others, or later. */
  readonly alsoRight?: readonly string[];
  begin?(on: Installation): unknown;
  /** Called again and again while the fault lasts. */
  again?(on: Installation): unknown;
  /** Default: 1,000. `undefined` in `again` that takes its time: the next call begins when the last one has ended. */
  readonly everyMs?: number;
  readonly inTurn?: true;
  end?(on: Installation): unknown;
  /** Reads per second of tokens that the replicas know. Default: 20. */
  readonly knownReads?: number;
  /** A replica with other settings. */
  readonly odd?: Readonly<Record<string, string>>;
  /** Prometheus asks {@link NOBODY}, too. */
  readonly hasDeadTarget?: true;
}

const vendorFault = (fault: Fault) => ({
  begin: ({ fleet }: Installation) => fleet.vendor.configure({ fault }),
  end: ({ fleet }: Installation) => fleet.vendor.configure({ fault: 'none' }),
});

/** Three in five of the logins fail, all attempts of each. */
function most(fault: Fault, attempts: number) {
  let number = 0;
  return {
    again({ fleet, newTerminal }: Installation) {
      number += 1;
      fleet.vendor.configure(number % 5 < 3 ? { fault, faultCount: attempts } : { fault: 'none' });
      return newTerminal();
    },
    end: ({ fleet }: Installation) => fleet.vendor.configure({ fault: 'none' }),
    inTurn: true,
  } as const;
}

const FAULTS: readonly Played[] = [
  { fault: 'none', again: ({ newTerminal }) => newTerminal() },
  {
    fault: 'Redis is full',
    findings: ['redis_refuses_writes'],
    begin: ({ redis }) => askRedis(redis, (client) => client.config('SET', 'maxmemory', '1')),
    again: ({ newTerminal }) => newTerminal(),
  },
  {
    fault: 'Redis is read-only, as after an unknown failover',
    findings: ['redis_refuses_writes'],
    begin: ({ redis }) => askRedis(redis, (client) => client.replicaof('127.0.0.1', 1)),
    again: ({ newTerminal }) => newTerminal(),
  },
  {
    fault: 'Redis refuses connections',
    findings: ['redis_unreachable'],
    begin: ({ redisProxy }) => redisProxy.set({ kind: 'refuse' }),
    again: ({ newTerminal }) => newTerminal(),
  },
  {
    fault: 'Redis loses its data',
    findings: ['redis_lost_data'],
    begin: ({ redis }) => askRedis(redis, (client) => client.flushall()),
  },
  {
    fault: 'the vendor fails three in five logins',
    findings: ['vendor_fails_logins'],
    knownReads: 40,
    ...most('http-500', 3),
  },
  {
    fault: 'the vendor closes three in five accounts',
    findings: ['accounts_closed'],
    ...most('account-closed', 1),
  },
  {
    fault: 'the vendor answers many logins with 500',
    findings: ['reads_fail', 'vendor_down'],
    alsoRight: ['vendor_fails_logins'],
    again: ({ newTerminal }) => newTerminal(),
    everyMs: 80,
    ...vendorFault('http-500'),
  },
  {
    fault: 'the vendor takes 5.5 s for each login',
    findings: ['vendor_slow'],
    begin: ({ fleet }) => fleet.vendor.configure({ latencyMs: 5_500 }),
    again: ({ newTerminal }) => newTerminal(),
    everyMs: 300,
  },
  {
    fault: 'the vendor has frozen the app',
    findings: ['vendor_rejects'],
    again: ({ newTerminal }) => newTerminal(),
    everyMs: 1_500,
    ...vendorFault('frozen-app'),
  },
  {
    fault: 'the vendor answers a few logins with HTML',
    findings: ['vendor_fails_logins'],
    alsoRight: ['vendor_down'],
    again: ({ newTerminal }) => newTerminal(),
    everyMs: 1_500,
    ...vendorFault('html'),
  },
  {
    fault: 'the vendor lets no login succeed, at night',
    findings: ['reads_fail', 'vendor_fails_logins'],
    knownReads: 0,
    again: ({ newTerminal }) => newTerminal(),
    everyMs: 2_500,
    ...vendorFault('too-frequent'),
  },
  {
    fault: 'the vendor refuses to renew six tokens',
    findings: ['tokens_ended'],
    begin: async ({ fleet, newTerminal }) => {
      fleet.vendor.configure({ tokenLifetimeSeconds: 15 });
      for (let terminal = 0; terminal < 6; terminal += 1) await newTerminal();
      fleet.vendor.configure({ tokenLifetimeSeconds: LONG_LIFE, fault: 'too-frequent' });
    },
  },
  {
    fault: 'many tokens fall due at once',
    // A renewal is late after five minutes, and this backlog lasts for one.
    begin: ({ redis, fleet }) => storeDueTokens(redis, fleet, 55 * LOGINS_PER_SECOND),
  },
  {
    fault: 'too many new terminals',
    alerts: ['LoginBudgetSpent'],
    findings: ['reads_fail'],
    again: ({ newTerminal }) => newTerminal(),
    everyMs: 1_000 / (2 * LOGINS_PER_SECOND),
  },
  {
    fault: "the vendor's clock is 200 s ahead",
    findings: ['clock_differs'],
    begin: ({ fleet }) => fleet.vendor.configure({ clockOffsetMs: 200_000 }),
    again: ({ newTerminal }) => newTerminal(),
  },
  {
    fault: 'the vendor issues tokens of 40 s',
    alerts: ['TokensAboutToEnd'],
    begin: ({ fleet }) => fleet.vendor.configure({ tokenLifetimeSeconds: 40 }),
    again: ({ newTerminal }) => newTerminal(),
    everyMs: 500,
  },
  {
    fault: 'sessions are signed with an unknown key',
    findings: ['sessions_refused'],
    again: ({ newTerminal, strangers }) => newTerminal(strangers),
    everyMs: 20,
  },
  {
    fault: 'keys of unknown sessions cannot be fetched',
    findings: ['reads_fail', 'session_check_fails'],
    begin: ({ keyProxy }) => keyProxy.set({ kind: 'refuse' }),
    again: ({ newTerminal, strangers }) => newTerminal(strangers),
    everyMs: 200,
  },
  {
    fault: 'a caller has a wrong admin token',
    alerts: ['AdminTokensRefused'],
    again: ({ fleet }) =>
      plainRequest(`${fleet.broker(1).adminUrl}/accounts/a`, {
        headers: { authorization: 'Bearer an-old-admin-token' },
      }),
  },
  {
    fault: 'a secret file is not valid',
    alerts: ['SecretReloadRefused'],
    begin: ({ adminTokens }) => writeFileSync(adminTokens, 'test:short'),
  },
  {
    fault: 'a replica has another setting',
    findings: ['configuration_differs'],
    odd: { TERMINALS_PER_ACCOUNT: '21' },
  },
  {
    fault: 'a replica gets little CPU',
    alerts: ['Overloaded'],
    begin: ({ fleet }) => onTestFinished(starve(fleet.broker(1).pid, 650)),
  },
  {
    fault: 'one of three replicas is killed',
    findings: ['replica_missing'],
    // Its 5 minutes are 10 s here, and the finding comes after 20 s.
    alsoRight: ['ReplicaDown'],
    begin: ({ fleet }) => process.kill(fleet.broker(2).pid, 'SIGKILL'),
  },
  {
    fault: 'Prometheus cannot reach one replica',
    alerts: ['ReplicaDown'],
    hasDeadTarget: true,
  },
  {
    fault: 'all replicas are killed',
    alerts: ['Down', 'ReplicaDown'],
    begin: ({ fleet }) => {
      for (const { pid } of fleet.brokers) process.kill(pid, 'SIGKILL');
    },
  },
];

/** Calls `once` every `everyMs`, whatever it returns, until the result is called. */
function repeat(everyMs: number, once: () => unknown): () => void {
  const timer = setInterval(() => void Promise.resolve(once()).catch(() => undefined), everyMs);
  return () => clearInterval(timer);
}

/** Calls `once` again when the last call has ended. */
function inTurn(once: () => unknown): () => void {
  let isOver = false;
  void (async () => {
    while (!isOver) await Promise.resolve(once()).catch(() => undefined);
  })();
  return () => {
    isOver = true;
  };
}

async function startAll({ odd, hasDeadTarget, knownReads = 20 }: Played): Promise<Installation> {
  const redis = await startRedis();
  const redisProxy = await startFaultProxy(redis.port);
  const folder = newFolder();
  const adminTokens = join(folder, 'ADMIN_TOKENS');
  writeFileSync(adminTokens, `test:${ADMIN_TOKEN}`);
  const [cloud, strangers] = await Promise.all([startCustomerCloud(), startCustomerCloud()]);
  onTestFinished(async () => void (await Promise.all([cloud.close(), strangers.close()])));
  const { port, pathname } = new URL(cloud.jwksUrl);
  const keyProxy = await startFaultProxy(Number(port));
  const fleet = await startFleet({
    replicas: 3,
    env: {
      REDIS_URL: `redis://127.0.0.1:${redisProxy.port}`,
      ADMIN_TOKENS_FILE: adminTokens,
      VENDOR_MAX_RPS: `${LOGINS_PER_SECOND}`,
      VENDOR_TIMEOUT_MS: '10000',
      ...cloud.brokerEnvironment,
      SESSION_JWT_JWKS_URL: `http://127.0.0.1:${keyProxy.port}${pathname}`,
    },
  });
  const replicas = [...fleet.brokers, ...(odd ? [await startBroker({ ...fleet.env, ...odd })] : [])];
  const targets = replicas.map(({ adminUrl }) => new URL(adminUrl).host);
  const prometheus = await startPrometheus(hasDeadTarget ? [...targets, NOBODY] : targets, FACTOR);
  if (knownReads > 0) {
    const session = await cloud.issueSession({ unionId: 'known', region: 'DE' });
    for (const broker of fleet.brokers) await broker.getToken(session, 'phone');
    let round = 0;
    const readKnown = () => {
      round += 1;
      return fleet.broker(round).getToken(session, 'phone');
    };
    onTestFinished(repeat(1_000 / knownReads, readKnown));
  }
  let number = 0;
  const newTerminal = async (of = cloud) => {
    number += 1;
    const session = await of.issueSession({ unionId: `new-${number}`, region: 'DE' });
    return fleet.broker(number).getToken(session, 'phone');
  };
  // Before its first scrape, Prometheus knows no replica.
  const isReady = async () => {
    const alerts = (await prometheus.alerts()).filter(({ labels }) => labels['alertname'] === 'SdkTokenBrokerDown');
    return alerts.length === 0 && (await prometheus.seriesOf('up == 1')) === replicas.length;
  };
  await eventually(isReady, { everyMs: 100 });
  return { fleet, cloud, strangers, redis, redisProxy, keyProxy, adminTokens, prometheus, newTerminal };
}

/** Puts tokens of other accounts into the store, all due now. */
async function storeDueTokens({ url }: RedisServer, { keyPrefix, env }: Fleet, count: number): Promise<void> {
  const [id = '', key = ''] = env['TOKEN_ENCRYPTION_KEYS']?.split(':') ?? [];
  const store = await openRedisStore(url, keyPrefix, [{ id, key: Buffer.from(key, 'base64') }]);
  const dueAt = Date.now();
  const restoreDue = (number: number) => {
    const record = madeUpRecord({ app: 'default', unionId: `due-${number}`, uniqueId: 'phone' });
    const token = { ...record.token, issuedAt: 0, expiresAt: LIFE_MS };
    const issuedAt = dueAt - refreshAt({ ...record, token }, PROACTIVE);
    return store.terminals.restore(
      { ...record, token: { ...record.token, issuedAt, expiresAt: issuedAt + LIFE_MS } },
      dueAt,
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

/** The alerts that fire now: the code of the finding, or the name. */
async function firing(prometheus: PrometheusServer): Promise<string[]> {
  const alerts = (await prometheus.alerts()).filter(({ state }) => state === 'firing');
  return alerts.map(({ labels }) => labels['code'] ?? labels['alertname']?.replace('SdkTokenBroker', '') ?? '');
}

/** The findings of the first replica. None, if it does not run. */
async function findingsOf({ fleet }: Installation): Promise<string[]> {
  const answer = await askInternal(fleet.broker(0), 'GET /status').catch(() => undefined);
  if (answer?.status !== 200) return [];
  return (JSON.parse(answer.body).findings as { code: string }[]).map(({ code }) => code);
}

/**
 * Plays a fault until all is seen that must be seen, and some seconds longer.
 * @returns the seconds of each first sight
 */
async function play(played: Played, on: Installation) {
  const { findings = [], again, everyMs = 1_000 } = played;
  const alerts = [...findings, ...(played.alerts ?? [])];
  const seen = { alerts: new Map<string, number>(), findings: new Map<string, number>() };
  const startedAt = performance.now();
  const note = (map: Map<string, number>, names: readonly string[]) => {
    for (const name of names) if (!map.has(name)) map.set(name, (performance.now() - startedAt) / 1_000);
  };
  await played.begin?.(on);
  const once = () => again?.(on);
  const stop = played.inTurn ? inTurn(once) : repeat(everyMs, once);
  const look = async () => {
    note(seen.alerts, await firing(on.prometheus));
    note(seen.findings, await findingsOf(on));
    return alerts.every((name) => seen.alerts.has(name)) && findings.every((code) => seen.findings.has(code));
  };
  try {
    // A replica with another configuration may be a part of a roll-out for five minutes.
    const timeoutMs = findings.includes('configuration_differs') ? 400_000 : 120_000;
    await eventually(look, { timeoutMs, everyMs: 250 }).catch(() => undefined);
    const until = performance.now() + (alerts.length === 0 ? 8 : 1) * AFTERWARDS_MS;
    while (performance.now() < until) {
      await sleep(250);
      await look();
    }
  } finally {
    stop();
    await played.end?.(on);
  }
  return seen;
}

/** A page comes at its real speed, everything else at {@link FACTOR} times that. */
const timeOf = (alert: string, seconds: number) =>
  FINDINGS[alert as FindingCode] === 'critical' ? `${seconds.toFixed(0)} s` : `${minutes(seconds * FACTOR)} min`;
const minutes = (seconds: number) => (seconds / 60).toFixed(1);
const report = ({ alerts, findings }: Awaited<ReturnType<typeof play>>) =>
  [
    [...alerts].map(([name, seconds]) => `${name} ${timeOf(name, seconds)}`).join(', ') || 'none',
    findings.size === 0 ? 'none' : `${Math.max(...findings.values()).toFixed(0)} s`,
  ].join('; ');

describe('a real Prometheus and the verdict of a fleet of three see', () => {
  test.each(FAULTS)(
    '$fault',
    async (played) => {
      const { findings = [] } = played;
      const on = await startAll(played);
      const seen = await play(played, on);
      reportFault({
        promise: 'A real Prometheus, 3 replicas: time to the right alerts, and no other one; to the right findings',
        fault: played.fault,
        measured: report(seen),
      });
      const others = (names: Iterable<string>) => [...names].filter((name) => !played.alsoRight?.includes(name)).sort();
      expect({ alerts: others(seen.alerts.keys()), findings: others(seen.findings.keys()) }).toEqual({
        alerts: [...findings, ...(played.alerts ?? [])].sort(),
        findings: [...findings].sort(),
      });
    },
    600_000,
  );
});

test('each alert fires in one of these faults', () => {
  const rules = readFile('deploy/helm/sdk-token-broker/files/rules.yml').matchAll(/- alert: SdkTokenBroker(\w+)/g);
  const played = FAULTS.flatMap(({ alerts = [] }) => alerts);
  expect(new Set([...played, 'Critical', 'Warning', ...NOT_PLAYED.keys()])).toEqual(
    new Set([...rules].map(([, name = '']) => name)),
  );
});

test('every panel of the dashboard has data from a real Prometheus', async () => {
  const on = await startAll({ fault: 'none' });
  on.fleet.vendor.configure({ fault: 'http-500' });
  await on.newTerminal();
  on.fleet.vendor.configure({ fault: 'none' });
  const { panels } = JSON.parse(readFile('deploy/grafana/dashboard.json')) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const withoutData = async () => {
    await on.newTerminal();
    const empty: string[] = [];
    for (const { title, targets = [] } of panels) {
      for (const { expr } of targets) {
        const query = expr.replaceAll('$__rate_interval', '10s').replaceAll('$namespace', '.*');
        if ((await on.prometheus.seriesOf(query)) === 0) empty.push(title);
      }
    }
    return empty;
  };
  await eventually(async () => expect(await withoutData()).toEqual([]), { timeoutMs: 40_000, everyMs: 500 });
}, 120_000);
