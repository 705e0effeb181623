import { randomInt, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startVendorSimulator, type VendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { type Replica, startBrokerService } from '../support/broker-service.ts';
import { readFile } from '../support/documents.ts';
import { eventually } from '../support/eventually.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { type PlainAnswer, plainRequest } from '../support/plain-request.ts';
import { CLOUDS, CloudUnderTest, installPhp, type Person, reasonToSkip, type Session } from './cloud-under-test.ts';

const CACHE_SECONDS = 4;
const PASSWORD = 'correct horse battery staple';
const LOGINS_IN_FLIGHT = 16;
const DELETIONS = Number(process.env['CLOUD_DELETIONS'] ?? 2);
const DONE = [200, 204];

/**
 * Beside `bob@…`: other case, a space, a zero-width space, a letter of phonetics, a typographic hyphen, a Cyrillic о,
 * full-width letters.
 */
const LOOK_ALIKES: readonly (readonly [kind: string, change: (name: string) => string])[] = [
  ['another case', (name) => name.replace('bob', 'Bob')],
  ['a space at the end', (name) => `${name} `],
  ['U+200B inside', (name) => name.replace('bob', 'bo\u200Bb')],
  ['a letter of phonetics', (name) => name.replace('bob', 'b\u0252b')],
  ['a typographic hyphen', (name) => name.replace('bob', 'bob\u2010')],
  ['a Cyrillic о', (name) => name.replace('bob', 'b\u043Eb')],
  ['full-width letters', (name) => name.replace('bob', '\uFF42\uFF4F\uFF42')],
];

test('examples/clouds has clouds', () => expect(CLOUDS).not.toEqual([]));

test.each(CLOUDS)('the README of examples/clouds/%s shows the settings of its broker.env', (name) => {
  const settings = readFile(`examples/clouds/${name}/broker.env`);
  expect(readFile(`examples/clouds/${name}/README.md`)).toContain(`\n\`\`\`sh\n${settings}\`\`\`\n`);
});

for (const name of CLOUDS) {
  const reason = reasonToSkip(name);
  if (reason) process.stderr.write(`SKIPPED examples/clouds/${name}: ${reason}\n`);
  const title = `examples/clouds/${name}${reason ? ` (skipped: ${reason})` : ''}`;
  // A test can start a Java cloud twice.
  describe.skipIf(reason !== undefined)(title, { timeout: 600_000 }, () => testCloud(name));
}

function testCloud(name: string): void {
  let vendor: VendorSimulator;
  let broker: Replica;
  let cloud: CloudUnderTest;
  const start = (env?: Record<string, string>) => cloud.start({ url: broker.adminUrl, key: ADMIN_TOKEN }, env);

  beforeAll(async () => {
    installPhp(name);
    cloud = await CloudUnderTest.build(name);
    vendor = await startVendorSimulator();
    broker = await startBrokerService({
      ...vendor.brokerEnvironment,
      REDIS_URL: inject('redisUrl'),
      REDIS_KEY_PREFIX: `cloud-${randomUUID()}`,
      ADMIN_TOKEN,
      SESSION_CACHE_SECONDS: `${CACHE_SECONDS}`,
      // The logins in flight are more than one account may cause.
      RATE_LIMIT_PER_MINUTE: '0',
      LOGIN_LIMIT_PER_HOUR: '0',
      VENDOR_MAX_RPS: '0',
      ...cloud.brokerSettings,
    });
    await start();
  }, 900_000);

  afterAll(async () => {
    await cloud?.remove();
    await broker?.stop();
    await vendor?.close();
  });

  const askBroker = (session: Session, uniqueId = 'my-phone'): Promise<PlainAnswer> =>
    plainRequest(`${broker.url}/sdk-token?uniqueId=${uniqueId}`, { headers: session });
  const askAdmin = (path: string, body?: object) => askInternal(broker, `${body ? 'POST' : 'GET'} ${path}`, body);
  const accountAtBroker = (unionId: string) => askAdmin(`/accounts/${encodeURIComponent(unionId)}`);

  const registered = async (name = 'alice'): Promise<Person> => {
    const person = { name: `${name}@${randomUUID()}.example`, password: PASSWORD, country: 'DE' };
    expect(await cloud.register(person)).toMatchObject({ status: 201 });
    return person;
  };
  const loggedIn = async (person: Person, uniqueId?: string): Promise<Session> => {
    const session = await cloud.logIn(person, uniqueId);
    if (!session) throw new Error(`the cloud refuses a login:\n${cloud.log()}`);
    return session;
  };
  /** Gets a token, and returns the id of the account. */
  const accepted = async (session: Session, uniqueId?: string): Promise<string> => {
    const answer = await askBroker(session, uniqueId);
    expect(answer).toMatchObject({ status: 200 });
    const { accessId } = JSON.parse(answer.body) as { accessId: string };
    const { [accessId]: unionId } = JSON.parse((await askAdmin('/accounts/lookup', { accessIds: [accessId] })).body);
    return unionId;
  };
  const refusalOf = async (session: Session): Promise<unknown> => {
    const { status, body } = await askBroker(session);
    return { status, code: JSON.parse(body).code };
  };
  const INVALID = { status: 401, code: 'session_invalid' };
  const phonesAtBroker = async (unionId: string): Promise<string[]> => {
    const { terminals = [] } = JSON.parse((await accountAtBroker(unionId)).body);
    return terminals.map(({ uniqueId }: { readonly uniqueId: string }) => uniqueId);
  };

  test('gives a session that gets a token. The logout ends both', async () => {
    const alice = await registered();
    expect(await cloud.register(alice)).toMatchObject({ status: 409 });
    expect(await cloud.logIn({ ...alice, password: 'wrong' })).toBeUndefined();
    const session = await loggedIn(alice);
    const unionId = await accepted(session);

    expect(DONE).toContain((await cloud.logOut(session, 'my-phone')).status);
    expect(await phonesAtBroker(unionId)).toEqual([]);
    if (cloud.brokerSettings['SESSION_MODE'] !== 'jwt') {
      await sleep(CACHE_SECONDS * 1_000 + 500);
      expect(await refusalOf(session)).toEqual(INVALID);
    }
    expect(await accepted(await loggedIn(alice))).toBe(unionId);
  });

  test('ends all sessions of a deleted account at once. Its name can be registered again', async () => {
    const alice = await registered();
    const sessions = [await loggedIn(alice), await loggedIn(alice)] as const;
    const unionId = await accepted(sessions[0]);
    await accepted(sessions[1]);
    expect(DONE).toContain((await cloud.deleteAccount(sessions[0])).status);
    for (const session of sessions) expect(await refusalOf(session)).toEqual(INVALID);
    expect(await accountAtBroker(unionId)).toMatchObject({ status: 404 });
    expect(await cloud.logIn(alice)).toBeUndefined();

    expect(await cloud.register(alice)).toMatchObject({ status: 201 });
    expect(await accepted(await loggedIn(alice))).toEqual(expect.any(String));
  });

  test('logs that the broker refused a logout', async () => {
    expect(DONE).toContain((await cloud.logOut(await loggedIn(await registered()), '..')).status);
    await eventually(() => /failed at the broker.*\b4\d\d\b/.test(cloud.log()));
  });

  if (name === 'sa-token') testEndedSessions();

  /** The calls that only this cloud has. The broker believes a session for CACHE_SECONDS, if nothing ends it. */
  function testEndedSessions(): void {
    const onTwoPhones = async () => {
      const person = await registered();
      const first = await loggedIn(person, 'phone-1');
      const other = await loggedIn(person, 'phone-2');
      await accepted(first, 'phone-1');
      return { person, first, other, unionId: await accepted(other, 'phone-2') };
    };

    test.each(['/kickout', '/freeze'])('%s takes all tokens of the user at once', async (path) => {
      const { person, first, other, unionId } = await onTwoPhones();
      expect(await phonesAtBroker(unionId)).toEqual(['phone-1', 'phone-2']);
      expect((await cloud.post(path, first)).body).toContain('"code":200');
      expect(await Promise.all([first, other].map(refusalOf))).toEqual([INVALID, INVALID]);
      expect(await phonesAtBroker(unionId)).toEqual([]);
      if (path === '/freeze') expect(await cloud.logIn(person)).toBeUndefined();
      else expect(await accepted(await loggedIn(person))).toBe(unionId);
    });

    test('a login that replaces the session of another phone takes its token at once', async () => {
      await cloud.stop();
      await start({ SA_TOKEN_IS_CONCURRENT: 'false' });
      const person = await registered();
      const replaced = await loggedIn(person, 'phone-1');
      await accepted(replaced, 'phone-1');
      const session = await loggedIn(person, 'phone-2');
      expect(await refusalOf(replaced)).toEqual(INVALID);
      const unionId = await accepted(session, 'phone-2');
      expect(await phonesAtBroker(unionId)).toEqual(['phone-2']);
      await cloud.stop();
      await start({ SA_TOKEN_IS_CONCURRENT: 'true' });
    });
  }

  test('keeps its sessions while it is down', async () => {
    const alice = await registered();
    const session = await loggedIn(alice);
    const unionId = await accepted(session);
    await cloud.stop();
    expect(await accepted(session)).toBe(unionId);
    await sleep(CACHE_SECONDS * 1_000);
    // The broker asks the cloud again now, and gets no answer.
    expect(await accepted(session)).toBe(unionId);
    await start();
    expect(await accepted(await loggedIn(alice))).toBe(unionId);
    await sleep(2_500);
    expect(await accepted(session)).toBe(unionId);
  });

  test('refuses names that look like a registered one', async () => {
    const bob = await registered('bob');
    for (const [kind, change] of LOOK_ALIKES) {
      const { status } = await cloud.register({ ...bob, name: change(bob.name) });
      expect([400, 409], kind).toContain(status);
    }
    await accepted(await loggedIn(bob));
  });

  test(
    `leaves nothing at the broker if an account is deleted during ${LOGINS_IN_FLIGHT} logins`,
    async () => {
      const carol = await registered('carol');
      let first = await loggedIn(carol);
      for (let round = 1; round <= DELETIONS; round += 1) {
        const unionId = await accepted(first);
        let answered = 0;
        const logins = Array.from({ length: LOGINS_IN_FLIGHT }, async (_, number) => {
          const session = await cloud.logIn(carol);
          answered += 1;
          if (session) await askBroker(session, `phone-${number % 10}`);
          return session;
        });
        // Most logins end after the deletion. Only a session of a later second could look new to the broker.
        const before = randomInt(LOGINS_IN_FLIGHT / 4);
        await eventually(() => answered >= before, { timeoutMs: 60_000, everyMs: 1 });
        expect(DONE).toContain((await cloud.deleteAccount(first)).status);
        const sessions = (await Promise.all(logins)).filter((session) => session !== undefined);
        // On a busy machine the broker may not have reached Redis in time. The cloud then erases the account later.
        const stateOf = async () => {
          const { status } = await accountAtBroker(unionId);
          return [200, 404].includes(status) && status;
        };
        const isLeft = async () => (await eventually(stateOf)) === 200;
        if (await isLeft()) await cloud.eraseAgain();
        expect(await isLeft()).toBe(false);
        const refusals = await Promise.all(sessions.map(refusalOf));
        expect(refusals).toEqual(sessions.map(() => INVALID));
        expect(await isLeft()).toBe(false);
        process.stderr.write(`${name}: deletion ${round} during logins, ${sessions.length} gave a session\n`);
        expect(await cloud.register(carol)).toMatchObject({ status: 201 });
        first = await loggedIn(carol);
      }
    },
    120_000 * (DELETIONS + 1),
  );

  test('keeps its files to itself, without passwords, and logs no name', async () => {
    await cloud.stop();
    const files = cloud.files();
    expect(files).not.toEqual([]);
    expect(files.filter(({ mode }) => (mode & 0o077) !== 0)).toEqual([]);
    expect(files.filter(({ path }) => readFileSync(path).includes(PASSWORD))).toEqual([]);
    expect(cloud.log()).not.toMatch(/(?:alice|bob|carol)@/i);
    expect(cloud.log()).not.toContain(PASSWORD);
  });
}
