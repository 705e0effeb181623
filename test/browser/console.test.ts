import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BrokerProcess } from '../support/broker-process.ts';
import { startBrokerService } from '../support/broker-service.ts';
import { startChromium } from '../support/browser.ts';
import { eventually } from '../support/eventually.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { listening } from '../support/listening.ts';
import { newFolder } from '../support/new-folder.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { openConsole } from './console-page.ts';

const FIRST_TOKEN = 'first-admin-token-of-32-characters';
const SECOND_TOKEN = 'second-admin-token-of-32-characters';
/** Ids that would break a page that makes HTML of them. */
const UNION_ID = '<b>alice</b>/用户 1?#%2e';
const PHONE = '<img/src=x/onerror=alert(1)>';
const MAX_BYTES = 100_000;
/** Everything that a page of the same origin can find in the browser. */
const KEPT =
  '(async () => [document.cookie, window.name, { ...localStorage }, { ...sessionStorage }, history.state, ' +
  'await caches.keys(), await indexedDB.databases()])()';
const NOTHING_KEPT = ['', '', {}, {}, null, [], []];

let browser: Browser;
let redis: RedisServer;
let fleet: Fleet;
let broker: BrokerProcess;
let tokenFile: string;

beforeAll(async () => {
  tokenFile = join(newFolder(), 'ADMIN_TOKENS');
  await writeFile(tokenFile, `ops:${FIRST_TOKEN}`);
  [browser, redis] = await Promise.all([startChromium(), startRedis()]);
  fleet = await startFleet({ replicas: 1, env: { REDIS_URL: redis.url, ADMIN_TOKENS_FILE: tokenFile } });
  broker = fleet.broker(0);
}, 300_000);

afterAll(async () => {
  await browser?.close();
  await fleet?.close();
  await redis?.stop();
});

/** Its port-forward ends here. */
const adminPort = () => Number(new URL(broker.adminUrl).port);
const open = (options = {}) => openConsole(browser, `${broker.adminUrl}/console`, options);

async function openWithToken() {
  const opened = await open();
  await opened.signIn(FIRST_TOKEN);
  return opened;
}

/** Makes the broker get a token for this phone. @returns the accessId */
async function logIn(unionId = UNION_ID, uniqueId = PHONE): Promise<string> {
  const { status, body } = await broker.getToken(await fleet.session(unionId), uniqueId);
  expect(status).toBe(200);
  return JSON.parse(body).accessId;
}

test('axe finds no violation in any state, in both languages, light and dark', async () => {
  await logIn();
  let runs = 0;
  const opened = await open();
  const { page, expectAccessible } = opened;
  runs += await expectAccessible('form');
  await opened.enter('');
  runs += await expectAccessible('form with an error');
  await opened.enter(FIRST_TOKEN);
  await opened.verdict(/^All tokens are fine\.$/);
  expect(await page.locator('#verdict-details').textContent()).toMatch(
    /Last vendor login of the replica that answers: \d+ s ago\./,
  );
  runs += await expectAccessible('status');
  await opened.lookUp(UNION_ID);
  await page.getByRole('button', { name: `Log out ${PHONE}` }).click();
  runs += await expectAccessible('dialog that logs out');
  await page.keyboard.press('Escape');
  runs += await expectAccessible('account');
  await page.getByRole('button', { name: 'Erase the account' }).click();
  await page.locator('#confirm-act').click();
  await page.getByText('This is not the unionId').waitFor();
  runs += await expectAccessible('dialog that erases, with an error');
  await page.keyboard.press('Escape');
  await page.route('**/console/calls*', (route) => route.abort());
  await opened.askNow();
  await opened.verdict(/does not answer/);
  runs += await expectAccessible('replica that does not answer');
  expect(runs).toBe(7 * 4);
  expect(await opened.problems()).toEqual([]);
});

test('a refused signature is the verdict, with its next step, and refused sessions follow it', async () => {
  const misconfigured = await startBrokerService({
    ...fleet.env,
    REDIS_KEY_PREFIX: 'console-wrong-key',
    VENDOR_APP_KEY: 'wrong-key',
  });
  for (let account = 0; account < 5; account += 1) {
    expect((await misconfigured.getToken(await fleet.session(`bob-${account}`), 'phone')).status).toBe(502);
  }
  const opened = await openConsole(browser, `${misconfigured.adminUrl}/console`);
  await opened.enter(FIRST_TOKEN);
  await opened.verdict(/The vendor refuses our signature in 100% of the logins \(5 lately\)\./);
  const details = opened.page.locator('#verdict-details');
  expect(await details.textContent()).toContain('node dist/main.js check');
  const runbook = details.getByRole('link', { name: 'vendor_rejects' });
  expect(await runbook.getAttribute('href')).toMatch(/^console\/runbooks\/en\?broker=[0-9a-f]{130}#vendor_rejects$/);
  const forged = (await fleet.session('mallory')).slice(0, -8);
  for (let number = 10; number < 32; number += 1) await misconfigured.getToken(`${forged}made-u${number}`, 'phone');
  await eventually(async () => {
    await opened.askNow();
    expect(await details.textContent()).toMatch(/The broker refuses \d+% of the sessions/);
  });
});

describe('the token', () => {
  test('is asked for after each load, and is in no request, cookie or storage', async () => {
    const opened = await open();
    const { page } = opened;
    const sent: string[] = [];
    page.on('request', (request) => sent.push(JSON.stringify([request.url(), request.headers(), request.postData()])));
    await opened.enter(FIRST_TOKEN);
    await opened.verdict(/fine/);
    expect(sent.length).toBeGreaterThan(0);
    for (const request of sent) expect(request).not.toMatch(new RegExp(`${FIRST_TOKEN}|authorization|cookie`));
    expect(await page.evaluate(KEPT)).toEqual(NOTHING_KEPT);
    expect(await page.context().cookies()).toEqual([]);
    await page.reload();
    await page.locator('#ask').waitFor();
    expect(await page.locator('#token').inputValue()).toBe('');
    await opened.enter(FIRST_TOKEN);
    await opened.verdict(/fine/);
    await page.getByRole('button', { name: 'End the session' }).click();
    await page.locator('#ask').waitFor();
  });

  test('is not taken on an address where the browser cannot encrypt', async () => {
    // The tests' browser takes this name for 127.0.0.1.
    const { page } = await openConsole(browser, `${broker.adminUrl.replace('127.0.0.1', 'broker')}/console`);
    await page.getByText('Open the console over a port-forward as http://127.0.0.1, or over HTTPS').waitFor();
    expect(await page.locator('#token').isVisible()).toBe(false);
  });

  test('that is missing, wrong or not sendable gets a clear text, and the right one works after too many wrong ones', async () => {
    const opened = await open();
    const error = opened.page.locator('#token-error');
    await opened.enter('');
    expect(await error.textContent()).toBe('Enter a token.');
    await opened.enter('令牌');
    expect(await error.textContent()).toMatch(/visible ASCII/);
    expect(opened.responses.filter((response) => response.url().includes('/console/calls'))).toEqual([]);
    await opened.enter('wrong-token');
    await expect.poll(() => error.textContent()).toMatch(/does not accept this token/);
    expect(await opened.page.locator('#token').inputValue()).toBe('wrong-token');
    // On a busy machine, the broker may allow one more wrong token before the page sends its own.
    await eventually(async () => {
      for (let wrong = 0; wrong < 30; wrong += 1)
        await fetch(`${broker.adminUrl}/status`, { headers: { authorization: 'Bearer wrong' } });
      const answered = opened.page.waitForResponse(/console\/calls/);
      await opened.enter('wrong-token');
      await answered;
      await expect.poll(() => error.textContent()).toMatch(/Too many wrong tokens.*in \d+ s/);
    });
    await opened.enter(FIRST_TOKEN);
    await opened.verdict(/fine|works/);
    expect(await opened.problems()).toEqual([]);
  });

  test('that is revoked in the middle of a session is asked for again, and nothing typed is lost', async () => {
    const opened = await openWithToken();
    const { page } = opened;
    await page.locator('#lookup-id').fill('typed before');
    await page.getByLabel('accessId').check();
    await writeFile(tokenFile, `ops:${SECOND_TOKEN}`);
    broker.signal('SIGHUP');
    await eventually(() => expect(broker.log().join('\n')).toContain('SIGHUP'));
    await opened.askNow();
    await page.locator('#ask').waitFor();
    expect(await page.locator('#token-error').textContent()).toMatch(/no longer accepts|Too many wrong tokens/);
    expect(await page.evaluate('document.activeElement.id')).toBe('token');
    await opened.signIn(SECOND_TOKEN);
    expect(await page.locator('#lookup-id').inputValue()).toBe('typed before');
    expect(await page.getByLabel('accessId').isChecked()).toBe(true);
    await writeFile(tokenFile, `ops:${FIRST_TOKEN}`);
    broker.signal('SIGHUP');
  });
});

/** What another program got that listens on an address, and how it ends. */
interface Stranger {
  readonly port: number;
  readonly requests: readonly { readonly url: string; readonly head: string; readonly body: Buffer }[];
  readonly close: () => Promise<void>;
}

/** A script that shows that it ran, and a page that leaves it in the browser. */
const PLANTED_SCRIPT = 'window.stranger = true';
const PLANTING_PAGE = '<script type="module" src="console.js"></script><p>stranger</p>';

/**
 * Takes an address. It answers each GET with a page of its own, or with a script that a browser may keep for a year,
 * and everything else as a broker would that is fine.
 */
async function takeAddress(port: number): Promise<Stranger> {
  const requests: { url: string; head: string; body: Buffer }[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    requests.push({ url: request.url ?? '', head: JSON.stringify(request.headers), body });
    if (request.url === '/console/console.js')
      response
        .setHeader('content-type', 'text/javascript')
        .setHeader('cache-control', 'max-age=31536000, immutable')
        .end(PLANTED_SCRIPT);
    else if (request.url === '/console/planting') response.setHeader('content-type', 'text/html').end(PLANTING_PAGE);
    else if (request.method === 'GET') response.setHeader('content-type', 'text/html').end('<p>stranger</p>');
    else response.end(JSON.stringify({ status: 200, text: JSON.stringify({ findings: [] }) }));
  });
  return { ...(await listening(server, port)), requests };
}

describe('a stranger that listens where the broker was', () => {
  const FOREIGN = /The session of this page has ended, or something else answers at this address/;
  const expectNothingUsable = ({ requests }: Stranger, least: number) => {
    expect(requests.length).toBeGreaterThanOrEqual(least);
    for (const { url, head, body } of requests) {
      expect(`${url} ${head} ${body.toString('latin1')}`).not.toMatch(
        new RegExp(`${FIRST_TOKEN}|authorization|cookie|alice|accounts`, 'i'),
      );
    }
  };

  test('after the broker died gets nothing from the open tab that it can use, and finds nothing in the browser', async () => {
    const dead = await startBrokerService(fleet.env);
    const url = `${dead.adminUrl}/console`;
    const [opened, asking] = [await openConsole(browser, url), await openConsole(browser, url)];
    await opened.enter(FIRST_TOKEN);
    await opened.verdict(/fine/);
    await dead.stop();
    const stranger = await takeAddress(Number(new URL(url).port));
    await opened.askNow();
    await opened.verdict(FOREIGN);
    expect(await opened.page.locator('#verdict').getAttribute('data-level')).toBe('critical');
    await opened.ask('alice');
    await opened.page.locator('#lookup-message').getByText(FOREIGN).waitFor();
    // No link leads to the stranger.
    expect(await opened.page.locator('a[href*="console/"]:visible').count()).toBe(0);
    // The token is typed only now.
    await asking.enter(FIRST_TOKEN);
    await asking.page.locator('#token-error').getByText(FOREIGN).waitFor();
    expect(await asking.page.locator('#token').inputValue()).toBe('');
    expectNothingUsable(stranger, 3);
    for (const { page } of [opened, asking]) {
      await page.reload();
      await page.getByText('stranger').waitFor();
      expect(await page.evaluate(KEPT)).toEqual(NOTHING_KEPT);
    }
  });

  test('before the broker did has left no script that its page runs', async () => {
    const stranger = await takeAddress(0);
    const origin = `http://127.0.0.1:${stranger.port}`;
    const opened = await openConsole(browser, `${origin}/console/planting`);
    const { page } = opened;
    expect(await page.evaluate('window.stranger')).toBe(true);
    await stranger.close();
    await startFaultProxy(adminPort(), stranger.port);
    await page.goto(`${origin}/console`);
    await opened.signIn(FIRST_TOKEN);
    expect(await page.evaluate('window.stranger')).toBeUndefined();
    const kept =
      "fetch('console/console.js', { cache: 'only-if-cached', mode: 'same-origin' }).then((file) => file.text())";
    expect(await page.evaluate(kept)).toBe(PLANTED_SCRIPT);
    expect(await opened.problems()).toEqual([]);
  });

  test('in the middle of a load runs no script and no style in the page', async () => {
    const opened = await open();
    const { page } = opened;
    await page.route('**/console/console.js*', (route) =>
      route.fulfill({ contentType: 'text/javascript', body: PLANTED_SCRIPT }),
    );
    await page.route('**/console/console.css*', (route) =>
      route.fulfill({ contentType: 'text/css', body: 'html { --stranger: 1 }' }),
    );
    await page.reload();
    expect(await page.evaluate('window.stranger')).toBeUndefined();
    expect(await page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--stranger')")).toBe('');
    const problems = (await opened.problems()).filter((problem) => problem.includes("'integrity' attribute"));
    expect(problems).toHaveLength(2);
  });

  test('after a port-forward died cannot use what it got at the broker that lives', async () => {
    const first = await startFaultProxy(adminPort());
    const opened = await openConsole(browser, `http://127.0.0.1:${first.port}/console`);
    await opened.enter(FIRST_TOKEN);
    await opened.verdict(/fine/);
    await first.close();
    const stranger = await takeAddress(first.port);
    await opened.askNow();
    await opened.verdict(FOREIGN);
    await stranger.close();
    expectNothingUsable(stranger, 1);
    for (const { url, body } of stranger.requests) {
      const headers = { 'content-type': 'application/octet-stream' };
      const deliver = () => fetch(`${broker.adminUrl}${url}`, { method: 'POST', headers, body: new Uint8Array(body) });
      const answer = await deliver();
      expect(answer.headers.get('set-cookie')).toBeNull();
      expect(await answer.text()).not.toMatch(/vendorDomains|replica/);
      expect((await deliver()).status).toBe(401);
    }
    await startFaultProxy(adminPort(), first.port);
    await opened.askNow();
    await opened.verdict(/fine/);
  });
});

describe('an account', () => {
  test('that is full says so, and shows the terminal with the oldest token first', async () => {
    const full = await startBrokerService({
      ...fleet.env,
      REDIS_KEY_PREFIX: 'console-full-account',
      TERMINALS_PER_ACCOUNT: '2',
    });
    const session = await fleet.session('erin');
    for (const phone of ['z-old', 'a-new']) expect((await full.getToken(session, phone)).status).toBe(200);
    expect((await full.getToken(session, 'third')).status).toBe(403);
    const { page, enter, lookUp } = await openConsole(browser, `${full.adminUrl}/console`);
    await enter(FIRST_TOKEN);
    await lookUp('erin');
    await page.getByText('2 of 2 phones').waitFor();
    await page.getByText('A new phone gets terminal_limit: log a lost one out.').waitFor();
    expect(await page.locator('.terminals h4 bdi').allTextContents()).toEqual(['z-old', 'a-new']);
    const failures = await page.locator('#failures').textContent();
    expect(failures).toContain('TERMINALS_PER_ACCOUNT phones with a valid token. Who acts: the user.');
  });

  test('is found by its accessId and logged out with the keyboard alone, after a question, with an audit line', async () => {
    const accessId = await logIn();
    const { page } = await open();
    const key = async (...names: readonly string[]) => {
      for (const name of names) await page.keyboard.press(name);
    };
    const focused = (query: string) =>
      page.evaluate<boolean>(`document.activeElement.matches(${JSON.stringify(query)})`);
    const tabTo = async (query: string) => {
      for (let times = 0; times < 25 && !(await focused(query)); times += 1) await key('Tab');
      expect(await focused(query), query).toBe(true);
    };
    await page.keyboard.type(FIRST_TOKEN);
    await key('Enter');
    await page.locator('#content').waitFor();
    await tabTo('input[name=by]');
    await key('ArrowRight');
    await tabTo('#lookup-id');
    await page.keyboard.type(accessId);
    await key('Enter');
    await page.getByText('Account found, with 1 terminal.').waitFor();
    expect(await page.locator('#lookup-result').textContent()).toContain(UNION_ID);
    await tabTo('.terminals button');
    await key('Enter');
    expect(await page.getByRole('dialog').textContent()).toContain(PHONE);
    await key('Escape');
    expect(await focused('.terminals button')).toBe(true);
    await key('Enter');
    await tabTo('#confirm-act');
    await key('Enter');
    await page.getByText(`${PHONE} is logged out.`).waitFor();
    expect(await page.locator('.terminals').count()).toBe(0);
    await eventually(() => {
      const audits = broker.log().filter((line) => line.includes('"audit":true') && line.includes('logTerminalOut'));
      expect(audits).toHaveLength(1);
      expect(audits[0]).toContain('"caller":"ops"');
    });
  });

  test('is erased only if its unionId is typed again', async () => {
    await logIn();
    const { page, lookUp, erase, retype } = await openWithToken();
    await lookUp(UNION_ID);
    await erase('another');
    await page.getByText('This is not the unionId').waitFor();
    expect(broker.log().some((line) => line.includes('eraseAccount'))).toBe(false);
    await retype(UNION_ID);
    await page.getByText('The account is erased.').waitFor();
    await page.locator('#lookup-id').press('Enter');
    await page.getByText(/does not know this account.*it was erased at \d{4}-/).waitFor();
    expect(await page.locator('#lookup-result').textContent()).toBe('');
  });

  test('whose unionId begins with a blank is not mistaken for the one without it', async () => {
    for (const unionId of [' eve', 'eve']) await logIn(unionId, unionId === 'eve' ? 'plain' : 'blank');
    const { page, ask, erase, retype } = await openWithToken();
    const terminals = page.locator('.terminals h4 bdi');
    await ask('eve ');
    await expect.poll(() => terminals.allTextContents()).toEqual(['plain']);
    await ask(' eve');
    await expect.poll(() => terminals.allTextContents()).toEqual(['blank']);
    await erase('eve');
    await page.getByText('This is not the unionId').waitFor();
    await retype(' eve');
    await page.getByText('The account is erased.').waitFor();
    await ask('eve');
    await expect.poll(() => terminals.allTextContents()).toEqual(['plain']);
    await ask('  ');
    await page.getByText('does not know this account').waitFor();
  });
});

test('the page is in the language of the browser, can be switched, and fits a phone', async () => {
  await logIn('dave', 'phone-1');
  const opened = await open({ locale: 'zh-CN', viewport: { width: 360, height: 740 } });
  const { page } = opened;
  await opened.enter(FIRST_TOKEN);
  await opened.verdict(/令牌正常/);
  expect(await page.evaluate('document.documentElement.lang')).toBe('zh-CN');
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  await page.getByRole('button', { name: 'English' }).click();
  await opened.verdict(/All tokens are fine/);
  expect(await page.evaluate('document.documentElement.lang')).toBe('en');
  await page.reload();
  expect(await page.evaluate('document.documentElement.lang')).toBe('en');
});

test('the page loads less than 100 KB, all of it from its own replica', async () => {
  const { responses } = await openWithToken();
  const files = responses.filter((response) => response.url().includes('/console'));
  const bytes = await Promise.all(files.map(async (response) => (await response.body()).length));
  const total = bytes.reduce((sum, one) => sum + one, 0);
  expect(files.length).toBeGreaterThan(2);
  expect(total).toBeGreaterThan(10_000);
  expect(total).toBeLessThan(MAX_BYTES);
  for (const response of responses) expect(response.url().startsWith(broker.adminUrl)).toBe(true);
});

test('while Redis is down the verdict says so, and the rest of the page works', async () => {
  const opened = await openWithToken();
  await redis.stop();
  try {
    await opened.verdict(/Redis does not answer.*Known tokens come from memory/, 60_000);
    expect(await opened.page.locator('#due').textContent()).toContain('Unknown while Redis does not answer');
    expect(await opened.page.locator('#dependencies').textContent()).toContain('unreachable');
    expect(await opened.expectAccessible('Redis down')).toBe(4);
    await opened.ask('alice');
    await opened.page
      .getByText(/store_unavailable/)
      .first()
      .waitFor();
  } finally {
    await redis.restart();
  }
  await eventually(async () => {
    await opened.askNow();
    expect(await opened.page.locator('#verdict').getAttribute('data-level')).not.toBe('critical');
  });
  expect(await opened.problems()).toEqual([]);
});

test('while the replica does not answer the page shows how old its data are', async () => {
  const replica = await startBrokerService(fleet.env);
  const opened = await openConsole(browser, `${replica.adminUrl}/console`);
  await opened.signIn(FIRST_TOKEN);
  await replica.stop();
  await opened.askNow();
  await opened.verdict(/This replica does not answer\. The data below is from \d\d:\d\d:\d\d\./);
  await expect.poll(() => opened.page.locator('#age').textContent()).toMatch(/^Updated [1-9]\d* s ago$/);
  expect(await opened.page.locator('#verdict').getAttribute('data-level')).toBe('critical');
  expect(await opened.page.locator('#dependencies li').count()).toBeGreaterThan(2);
});

// Last, because its failed reads are in the verdict for some minutes.
test('an account shows its cool-down while its logins fail', async () => {
  await logIn('carol', 'phone-1');
  fleet.vendor.configure({ fault: 'http-500' });
  try {
    const session = await fleet.session('carol');
    const { page, lookUp } = await openWithToken();
    await eventually(
      async () => {
        await broker.getToken(session, 'phone-2');
        await lookUp('carol');
        expect(await page.locator('#lookup-result').textContent()).toMatch(
          /logins pause until .* after vendor_unavailable/,
        );
      },
      { timeoutMs: 60_000 },
    );
  } finally {
    fleet.vendor.configure({ fault: 'none' });
  }
  await eventually(async () =>
    expect((await broker.getToken(await fleet.session('carol'), 'phone-2')).status).toBe(200),
  );
});
