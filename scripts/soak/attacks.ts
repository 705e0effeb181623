import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { Keys } from '../../src/store/redis/keys.ts';
import { accountOf, subjectId, terminalOf } from '../../src/token/subject.ts';
import { plainRequest } from '../../test/support/plain-request.ts';
import { sendRaw } from '../../test/support/raw-connection.ts';
import { KEY_PREFIX, type Replica, type Targets } from './targets.ts';

/** Most requests of one attack at the same time. */
const MAX_IN_FLIGHT = 400;
/** A broker ends every connection earlier than this. */
const HELD_MS = 30_000;
const DRIP_MS = 1_000;
const UNREAD_EVERY_MS = 100;
/** Bad accounts of each kind. */
const BAD_ACCOUNTS = 10;
const BAD_KINDS = ['unknown', 'frequent', 'fields'] as const;
const LOOPING_ACCOUNTS = 25;
/** Pause of a looping account after a refusal. */
const REFUSED_MS = 500;

const HALF_HEAD = 'GET /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: broker\r\nX-Slow: ';
const HALF_BODY = 'DELETE /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: broker\r\nContent-Length: 100\r\n\r\nhalf';
const LARGE_ANSWERS = ['/openapi.json', '/metrics']
  .map((path) => `GET ${path} HTTP/1.1\r\nHost: broker\r\n\r\n`)
  .join('')
  .repeat(4);
const PROBE = 'GET /readyz HTTP/1.1\r\nHost: broker\r\n\r\n';
const TWO_HOSTS = 'GET /livez HTTP/1.1\r\nHost: broker\r\nHost: other\r\nConnection: close\r\n\r\n';
const MALFORMED = [
  'Transfer-Encoding: xchunked\r\n\r\n',
  'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n',
  'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\nZZZ\r\n\r\n',
];

/** The answer of the broker: a status, or words. */
type Outcome = number | string;

interface Attack {
  readonly name: string;
  readonly perSecond: number;
  once(number: number): Promise<Outcome>;
}

export interface AttackResult {
  readonly name: string;
  /** How often each outcome was seen. */
  readonly outcomes: ReadonlyMap<Outcome, number>;
}

/** Runs all attacks together until the signal aborts. */
export async function runAttacks(targets: Targets, signal: AbortSignal): Promise<readonly AttackResult[]> {
  const attacks = await attacksOn(targets);
  const rated = attacks.map(async ({ name, perSecond, once }) => {
    const outcomes = new Map<Outcome, number>();
    await atRate(perSecond, once, signal, (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1));
    return { name, outcomes };
  });
  return Promise.all([...rated, loopingAccounts(targets, signal)]);
}

/** Starts an act at this rate, without waiting for the acts before. Leaves acts out while too many are in flight. */
async function atRate(
  perSecond: number,
  once: (number: number) => Promise<Outcome>,
  signal: AbortSignal,
  note: (outcome: Outcome) => void,
): Promise<void> {
  let inFlight = 0;
  const startedAt = performance.now();
  for (let number = 0; !signal.aborted; number += 1) {
    await sleep(Math.max(0, startedAt + (number * 1_000) / perSecond - performance.now()));
    if (inFlight >= MAX_IN_FLIGHT) continue;
    inFlight += 1;
    once(number)
      .then(note, () => note('no answer'))
      .finally(() => {
        inFlight -= 1;
      });
  }
}

async function attacksOn({ redis, cloud, replicas }: Targets): Promise<readonly Attack[]> {
  const [jwt, introspection, forward] = replicas;
  const replica = (number: number) => replicas[number % replicas.length] as Replica;
  const listener = (number: number) => {
    const { url, adminUrl } = replica(number).broker;
    return number % 8 === 0 ? adminUrl : url;
  };
  const send = async (one: Replica, headers: Readonly<Record<string, string>>, uniqueId: string, method = 'GET') => {
    const url = `${one.broker.url}/sdk-token?uniqueId=${uniqueId}`;
    return (await plainRequest(url, { method, headers, timeoutMs: HELD_MS })).status;
  };
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = new Keys(KEY_PREFIX);
  return [
    {
      name: 'half-sent requests, a quarter of them with one more byte a second',
      perSecond: 60,
      once: (number) => hold(listener(number), number % 2 ? HALF_HEAD : HALF_BODY, number % 4 === 0),
    },
    { name: 'readers that read nothing', perSecond: 0.2, once: (number) => leaveUnread(listener(number)) },
    {
      name: 'malformed `Transfer-Encoding`',
      perSecond: 15,
      once: (number) => sendMalformed(listener(number), MALFORMED[number % MALFORMED.length] ?? ''),
    },
    { name: '62 requests in one write', perSecond: 40, once: (number) => sendTogether(listener(number)) },
    {
      name: 'requests with two `Host` headers',
      perSecond: 5,
      once: (number) => hold(listener(number), TWO_HOSTS, false),
    },
    {
      name: 'new terminals of 30 accounts that the vendor refuses with an unknown code or as too frequent, or answers with 5,000 unknown fields',
      perSecond: 15,
      async once(number) {
        const account = `${BAD_KINDS[number % BAD_KINDS.length]}-${number % BAD_ACCOUNTS}`;
        return send(replica(number), await replica(number).sessionOf(account), `bad-${number}`);
      },
    },
    {
      name: 'made-up opaque sessions, and refresh tokens',
      perSecond: 40,
      once(number) {
        const session = number % 4 ? `made-up-${randomUUID()}` : `refresh-${number}`;
        return send(introspection, { authorization: `Bearer ${session}` }, 'phone');
      },
    },
    {
      name: 'junk cookies beside a session, and made-up session cookies',
      perSecond: 15,
      async once(number) {
        const { cookie } = await forward.sessionOf(`junk-${number % BAD_ACCOUNTS}`);
        return send(forward, { cookie: `junk-${number}=1; ${number % 2 ? cookie : `sid=made-up-${number}`}` }, 'phone');
      },
    },
    {
      name: 'logouts of terminals that never existed',
      perSecond: 15,
      async once(number) {
        const account = `logout-${number % BAD_ACCOUNTS}`;
        return send(replica(number), await replica(number).sessionOf(account), randomUUID(), 'DELETE');
      },
    },
    {
      name: 'sessions with an unknown `kid`, while the JWKS URL fails for 50 s of each minute',
      perSecond: 20,
      async once() {
        const header = { alg: 'ES256', kid: randomUUID() };
        const session = await new SignJWT({ sub: 'mallory' }).setProtectedHeader(header).sign(privateKey);
        return send(jwt, { authorization: `Bearer ${session}` }, 'phone');
      },
    },
    {
      name: 'sessions with an `iat` in milliseconds',
      perSecond: 5,
      async once() {
        const session = await cloud.issueSession({ unionId: 'mallory', claims: { iat: Date.now() } });
        return send(jwt, { authorization: `Bearer ${session}` }, 'phone');
      },
    },
    {
      name: 'sessions with an `iat` ten minutes ahead',
      perSecond: 5,
      async once() {
        const iat = Math.floor(Date.now() / 1_000) + 600;
        const session = await cloud.issueSession({ unionId: 'mallory', claims: { iat } });
        return send(jwt, { authorization: `Bearer ${session}` }, 'phone');
      },
    },
    {
      name: 'real sessions with another signature',
      perSecond: 40,
      async once(number) {
        const { authorization = '' } = await jwt.sessionOf(`known-${number % 10}`);
        return send(
          jwt,
          { authorization: authorization.slice(0, -86) + randomBytes(64).toString('base64url') },
          'phone',
        );
      },
    },
    {
      name: 'records of 4 MiB in Redis',
      perSecond: 0.5,
      async once(number) {
        const subject = { app: 'default', unionId: `long-${number % BAD_ACCOUNTS}`, uniqueId: randomUUID() };
        const id = subjectId(subject);
        const key = keys.account(accountOf(id));
        await redis.client.hset(key, terminalOf(id), Buffer.alloc(4 * 2 ** 20));
        const headers = await replica(number).sessionOf(subject.unionId);
        return send(replica(number), headers, subject.uniqueId).finally(() => redis.client.hdel(key, terminalOf(id)));
      },
    },
    {
      name: 'guesses of the admin token',
      perSecond: 60,
      async once(number) {
        const headers = { authorization: `Bearer ${randomUUID()}` };
        return (await plainRequest(`${replica(number).broker.adminUrl}/accounts/known-1`, { headers })).status;
      },
    },
    {
      name: 'cross-site GETs with the cookie of a known account',
      perSecond: 15,
      async once(number) {
        const session = await forward.sessionOf(`known-${number % 10}`);
        return send(forward, { ...session, 'sec-fetch-site': 'cross-site' }, `made-up-${number}`);
      },
    },
    {
      name: 'forged announcements in Redis',
      perSecond: 10,
      async once(number) {
        const known = { app: 'default', unionId: `known-${number % 10}`, uniqueId: 'phone' };
        const id = subjectId(number % 2 ? known : { ...known, uniqueId: randomUUID() });
        const texts = [
          `saved ${id} ${2 ** 48}`,
          `removed ${id} ${Date.now() + 3_600_000}`,
          `erased ${accountOf(id)} ${Date.now() + 3_600_000}`,
          `failed ${id} 1 constructor`,
          `saved ${randomUUID()}`,
        ];
        await redis.client.publish(keys.announcements, texts[number % texts.length] ?? '');
        return 'published';
      },
    },
  ];
}

/** Sends the bytes, and then at most one byte a second, until the broker ends the connection. */
async function hold(url: string, bytes: string, drips: boolean): Promise<Outcome> {
  const { socket, ended, received } = await sendRaw(url, bytes);
  const timer = setInterval(() => drips && socket.writable && socket.write('x'), DRIP_MS);
  try {
    await ended(HELD_MS);
    return statusIn(received()) ?? 'closed';
  } finally {
    clearInterval(timer);
    socket.destroy();
  }
}

/** Asks for more and more answers, and reads none of them. A write fails after the broker has reset the connection. */
async function leaveUnread(url: string): Promise<Outcome> {
  const { socket } = await sendRaw(url, '');
  socket.pause();
  const timer = setInterval(() => socket.writable && socket.write(LARGE_ANSWERS), UNREAD_EVERY_MS);
  const closed = new Promise<Outcome>((resolve) => {
    socket.once('close', () => resolve('connection reset'));
  });
  try {
    return await Promise.race([closed, sleep(2 * HELD_MS, 'still open after 60 s')]);
  } finally {
    clearInterval(timer);
    socket.destroy();
  }
}

async function sendMalformed(url: string, rest: string): Promise<Outcome> {
  const { socket, ended, received } = await sendRaw(url, `GET /livez HTTP/1.1\r\nHost: broker\r\n${rest}${PROBE}`);
  try {
    await ended(HELD_MS);
    const answers = received().match(/HTTP\/1\.1 \d{3} /g) ?? [];
    return answers.length > 1 ? `${answers.length} answers` : (statusIn(received()) ?? 'closed');
  } finally {
    socket.destroy();
  }
}

async function sendTogether(url: string): Promise<Outcome> {
  const { socket, ended, received } = await sendRaw(url, 'GET /x HTTP/1.1\r\nHost: broker\r\n\r\n'.repeat(62));
  try {
    await ended(HELD_MS);
    return statusIn(received()) ?? 'closed';
  } finally {
    socket.destroy();
  }
}

function statusIn(received: string): number | undefined {
  const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(received) ?? [];
  return status === undefined ? undefined : Number(status);
}

/** Accounts that log in and out as fast as they are allowed to. */
async function loopingAccounts({ replicas }: Targets, signal: AbortSignal): Promise<AttackResult> {
  const outcomes = new Map<Outcome, number>();
  const loop = async (_: unknown, number: number) => {
    const { broker, sessionOf } = replicas[number % replicas.length] as Replica;
    for (let turn = 0; !signal.aborted; turn += 1) {
      const method = turn % 2 === 0 ? 'GET' : 'DELETE';
      const headers = await sessionOf(`loop-${number}`);
      const url = `${broker.url}/sdk-token?uniqueId=phone`;
      const status = await plainRequest(url, { method, headers }).then(
        (answer): Outcome => answer.status,
        () => 'no answer',
      );
      outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
      if (status !== 200 && status !== 204) await sleep(REFUSED_MS);
    }
  };
  await Promise.all(Array.from({ length: LOOPING_ACCOUNTS }, loop));
  return { name: `${LOOPING_ACCOUNTS} accounts that log in and out in a loop`, outcomes };
}
