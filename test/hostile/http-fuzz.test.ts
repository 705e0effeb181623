import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { readFile } from '../support/documents.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN } from '../support/internal-api.ts';
import { plainRequest } from '../support/plain-request.ts';
import { sendRaw } from '../support/raw-connection.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { mutatedRequest } from './mutated-requests.ts';

/** `npm run fuzz` sends 100,000. */
const REQUESTS = Number(process.env['FUZZ_HTTP_REQUESTS'] ?? 3_000);
const SEED = 13;
const AT_ONCE = 20;
const ACCESS_TOKEN = /[0-9a-f]{64}/;

function templates(session: string): { readonly public: string[]; readonly internal: string[] } {
  const head = `HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer ${session}\r\n`;
  const admin = `HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\n`;
  const lookup = '{"accessIds":["-9223371996052586423"]}';
  return {
    public: [
      `GET /sdk-token?uniqueId=phone ${head}\r\n`,
      `GET /sdk-token?uniqueId=phone&regRegion=DE&app=default ${head}If-None-Match: "a"\r\n\r\n`,
      `GET /sdk-token?uniqueId=phone&refused=a ${head}If-None-Match: "a"\r\n\r\n`,
      `DELETE /sdk-token?uniqueId=phone ${head}Content-Length: 2\r\n\r\n{}`,
      `POST /sdk-token ${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
      `GET /openapi.json ${head}\r\n`,
      `GET /docs ${head}\r\n`,
      'GET /livez HTTP/1.1\r\nHost: broker\r\n\r\n',
      `GET /readyz ${head}\r\n`,
    ],
    internal: [
      `GET /accounts/fuzzed ${admin}\r\n`,
      `POST /accounts/lookup ${admin}Content-Type: application/json\r\nContent-Length: ${lookup.length}\r\n\r\n${lookup}`,
      `POST /accounts/lookup ${admin}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `${lookup.length.toString(16)}\r\n${lookup}\r\n0\r\n\r\n`,
      `PUT /accounts/fuzzed/access-id?regRegion=DE ${admin}\r\n`,
      `GET /accounts/fuzzed/terminals/phone/sdk-token?regRegion=DE ${admin}\r\n`,
      `DELETE /accounts/fuzzed/terminals/phone ${admin}\r\n`,
      `DELETE /accounts/fuzzed/terminals ${admin}\r\n`,
      `DELETE /accounts/erased ${admin}\r\n`,
      ...['/status', '/console', '/livez', '/readyz', '/metrics'].map((path) => `GET ${path} ${admin}\r\n`),
    ],
  };
}

test.each([
  ['public', 'openapi/openapi.json'],
  ['internal', 'openapi/internal.json'],
] as const)('every operation of the %s API is fuzzed', (api, document) => {
  const { paths } = JSON.parse(readFile(document)) as { readonly paths: Record<string, object> };
  const sent = templates('')[api];
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, '[^/ ?]+')}[ ?]`),
  );
  expect(operations.filter((operation) => !sent.some((request) => new RegExp(`^${operation}`).test(request)))).toEqual(
    [],
  );
});

/** Sends the bytes, waits for an answer, closes its side, and returns everything that the broker sends. */
async function exchange(url: string, bytes: string): Promise<string> {
  const { socket, ended, received } = await sendRaw(url, bytes);
  try {
    await Promise.race([once(socket, 'data'), sleep(30), ended(10_000)]);
    socket.end();
    await ended(10_000);
    return received();
  } finally {
    socket.destroy();
  }
}

// Only at `info` does the broker use its fast path. At `debug` each request leaves a line in the log.
test.each(['info', 'debug'])(
  'mutated requests cause no crash, no hang, no 500 and no leak, at log level %s',
  {
    timeout: 60_000 + REQUESTS * 20,
  },
  async (LOG_LEVEL) => {
    const fleet = await startFleet({ replicas: 1, env: { LOG_LEVEL, ADMIN_TOKEN, API_DOCS: 'true' } });
    const broker = fleet.broker(0);
    const session = await fleet.session('fuzzed');
    const { public: toPublic, internal } = templates(session);
    const targets = [
      { url: broker.url, requests: toPublic },
      { url: broker.adminUrl, requests: internal },
    ] as const;
    const settings = ['VENDOR_APP_TOKEN', 'VENDOR_APP_KEY', 'TOKEN_ENCRYPTION_KEYS'] as const;
    const secrets = settings.map((name) => fleet.env[name as keyof typeof fleet.env] ?? '');
    expect(secrets.every((secret) => secret.length >= 8)).toBe(true);
    const leaks = (text: string, all: readonly string[]) => all.filter((secret) => text.includes(secret));
    const random = seededRandom(SEED);
    const statuses = new Map<string, number>();
    let left = Math.ceil(REQUESTS / 2);
    const send = async () => {
      while (left > 0) {
        left -= 1;
        const { url, requests } = targets[random() < 0.6 ? 0 : 1];
        const bytes = mutatedRequest(requests, random);
        const shown = JSON.stringify(bytes).slice(0, 2_000);
        const answer = await exchange(url, bytes).catch((error: Error) => expect.fail(`${error.message}: ${shown}`));
        for (const one of answer.split(/(?=HTTP\/1\.1 \d{3} )/)) {
          const status = one.slice(9, 12);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          expect(leaks(one, secrets), shown).toEqual([]);
          if (one !== '' && status !== '200') {
            expect(leaks(one, [session, ADMIN_TOKEN]), shown).toEqual([]);
            expect(one, shown).not.toMatch(ACCESS_TOKEN);
          }
          if (/^[45]/.test(status))
            expect(one.toLowerCase(), shown).toContain('content-type: application/problem+json');
          expect(status, shown).not.toBe('500');
        }
        if (left % 1_000 === 0) checkLog();
      }
    };
    const checkLog = () => {
      const log = broker.log().join('\n');
      expect(leaks(log, [...secrets, session, ADMIN_TOKEN, 'fuzzed'])).toEqual([]);
      expect(log).not.toMatch(ACCESS_TOKEN);
      expect(log).not.toMatch(/uncaught|unhandled/i);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, send));
    checkLog();
    expect(statuses.get('200')).toBeGreaterThan(REQUESTS / 40);
    expect(statuses.get('400')).toBeGreaterThan(REQUESTS / 40);
    for (const { url } of targets) expect((await plainRequest(`${url}/livez`)).status).toBe(200);
    const openSockets = async () => {
      const { body } = await plainRequest(`${broker.adminUrl}/metrics`);
      return Number(/^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)$/m.exec(body)?.[1]);
    };
    await eventually(async () => (await openSockets()) < 15);
  },
);
