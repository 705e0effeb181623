// An example cloud. It has accounts and sessions of its own, and asks the broker's internal API for the rest.
// 示例云：账号和会话由自己管理，其余的向 Broker 的内部 API 查询。
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import fastify from 'fastify';
import { normalized } from '../clouds/node/names.js';
import { Accounts } from './accounts.js';
import { Broker } from './broker.js';
import { COUNTRIES } from './countries.js';
import { SESSION_SECONDS, Sessions } from './sessions.js';

const {
  HOST = '127.0.0.1',
  PORT = '3000',
  DATA_DIR = 'data',
  BROKER_URL = 'http://127.0.0.1:9090',
  BROKER_TOKEN,
  ISSUER = 'https://accounts.example',
  AUDIENCE = 'sdk-token-broker',
} = process.env;
if (!BROKER_TOKEN) throw new Error('set BROKER_TOKEN to a token of the internal API of the broker');

const LOOKUPS_AT_ONCE = 10;
const LOOKUP_INTERVAL_MS = 6_000;
const ERASE_AGAIN_MS = 2_000;

await mkdir(DATA_DIR, { recursive: true });
const accounts = await Accounts.open(join(DATA_DIR, 'accounts.json'));
const sessions = await Sessions.open(join(DATA_DIR, 'session-key.pem'), { issuer: ISSUER, audience: AUDIENCE });
const broker = new Broker(BROKER_URL, BROKER_TOKEN);

// The log has the route of a request, not its URL: the query may hold a phone number or an e-mail address.
// 日志只记录路由，不记录 URL：查询参数中可能有手机号或邮箱。
const logger = { serializers: { req: ({ method, routeOptions }) => ({ method, route: routeOptions?.url }) } };
// Without coercion: an accessId that comes as a number has lost digits, so it must not become a text.
// 不做类型转换：以数字传来的 accessId 已经丢失了末几位，不能再转成字符串。
const app = fastify({ logger, ajv: { customOptions: { coerceTypes: false } } });

class Refused extends Error {
  constructor(statusCode, message) {
    super(message);
    this.statusCode = statusCode;
  }
}

app.setErrorHandler((error, request, reply) => {
  const { statusCode = 500, message } = error;
  if (statusCode >= 500) request.log.error(error);
  return reply.code(statusCode).send({ error: statusCode === 500 ? 'the request failed' : message });
});

// Fastify's own handler logs the URL.
app.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: 'there is no such call' }));

const text = (maxLength) => ({ type: 'string', minLength: 1, maxLength });
const objectWith = (required, properties) => ({ type: 'object', required, properties });
const credentials = { account: text(100), password: text(200) };
// The phone: phoneUniqueId() of the SDK. Without it, the answer has no SDK token.
const uniqueId = { type: 'string', pattern: '^[\\x21-\\x7e]{1,128}$' };
const registration = {
  ...credentials,
  uniqueId,
  nickName: text(50),
  // The broker refuses other codes, such as UK and EU.
  country: { enum: COUNTRIES },
};

app.post(
  '/register',
  { schema: { body: objectWith(['account', 'password', 'nickName', 'country'], registration) } },
  async (request, reply) => {
    if (!normalized(request.body.account)) throw new Refused(400, 'this account name is not allowed');
    const account = await accounts.create(request.body);
    // In a real cloud: confirm the e-mail address or the phone number first, and tell nobody here that a name is taken.
    // 真实的云应先验证邮箱或手机号，并且不要在这里透露账号名已被占用。
    if (!account) throw new Refused(409, 'this account exists');
    return reply.code(201).send(await loginAnswer(account, request));
  },
);

app.post(
  '/login',
  { schema: { body: objectWith(['account', 'password'], { ...credentials, uniqueId }) } },
  async (request) => {
    const account = await accounts.authenticate(request.body.account, request.body.password);
    if (!account) throw new Refused(401, 'account or password is wrong');
    return loginAnswer(account, request);
  },
);

/** A session, and the first SDK token with it. If the broker has none now, the app asks the broker later. */
async function loginAnswer(account, { body, log }) {
  const session = await sessions.issue(account);
  const token = body.uniqueId === undefined ? undefined : await firstToken(account, body.uniqueId, log);
  // The account may have been deleted since its password was checked. Nobody gets this session then.
  if (!accounts.byUnionId(account.unionId)) throw new Refused(401, 'account or password is wrong');
  return { session, expiresIn: SESSION_SECONDS, ...token };
}

async function firstToken(account, uniqueId, log) {
  try {
    return await askAbout(account, broker.sdkToken(account, uniqueId));
  } catch (error) {
    log.warn(error, 'login without an SDK token');
    return undefined;
  }
}

app.get('/.well-known/jwks.json', async () => sessions.keys());

// For SESSION_MODE=forward of the broker: the claims of the session that the broker passes on.
// 供 Broker 的 forward 模式调用：返回 Broker 转发来的会话的声明。
app.get('/whoami', async (request, reply) => {
  const { sub, region, iat, exp } = await claimsOf(request);
  reply.header('cache-control', 'no-store');
  return { sub, region, iat, exp };
});

/** The claims of the session. @throws Refused if the session is not valid, or its account is deleted */
async function claimsOf({ headers }) {
  const [, session = ''] = /^Bearer (.+)$/.exec(headers.authorization ?? '') ?? [];
  const claims = await sessions.claimsOf(session);
  if (!accounts.byUnionId(claims?.sub)) throw new Refused(401, 'a valid session is required');
  return claims;
}

/** The account of the session. @throws Refused */
async function accountOf(request) {
  return accounts.byUnionId((await claimsOf(request)).sub);
}

/** By unionId, when the user's next look-up is due. */
const lookupDueAt = new Map();

/** Limits the look-ups of each user, so that nobody can try out names. @throws Refused */
function countLookup({ unionId }, reply) {
  const now = Date.now();
  const dueAt = Math.max(now, lookupDueAt.get(unionId) ?? 0);
  const waitMs = dueAt - (LOOKUPS_AT_ONCE - 1) * LOOKUP_INTERVAL_MS - now;
  if (waitMs > 0) {
    reply.header('retry-after', Math.ceil(waitMs / 1_000));
    throw new Refused(429, 'too many look-ups');
  }
  lookupDueAt.set(unionId, dueAt + LOOKUP_INTERVAL_MS);
}

/** The part of an account that other users see: at most two thirds of the name. */
function personOf({ nickName }, accessId) {
  const characters = [...nickName];
  const shown = Math.floor(characters.length / 3);
  const end = characters.slice(characters.length - Math.min(1, shown));
  return { accessId, nickName: `${characters.slice(0, Math.min(2, shown)).join('')}***${end.join('')}` };
}

// Sharing: the SDK asks the app about the account that the owner has typed.
app.get('/share/account', async (request, reply) => {
  countLookup(await accountOf(request), reply);
  const found = accounts.byName(request.query.account);
  if (!found) throw new Refused(404, 'there is no such account');
  const accessId = await orUnavailable(request, askAbout(found, broker.accessId(found)));
  return personOf(found, accessId);
});

// Sharing: the SDK asks the app about the people that a camera is shared with.
const lookup = objectWith(['accessIds'], { accessIds: { type: 'array', minItems: 1, maxItems: 50, items: text(128) } });
app.post('/share/accounts', { preValidation: accountOf, schema: { body: lookup } }, async (request, reply) => {
  countLookup(await accountOf(request), reply);
  const pairs = await orUnavailable(request, broker.unionIds(request.body.accessIds));
  const people = pairs.flatMap(([accessId, unionId]) => {
    const found = accounts.byUnionId(unionId);
    return found ? [personOf(found, accessId)] : [];
  });
  return { accounts: people };
});

/** @throws Refused 503 when the broker cannot answer */
async function orUnavailable({ log }, answer) {
  try {
    return await answer;
  } catch (error) {
    log.warn(error, 'a look-up failed');
    throw new Refused(503, 'the look-up is not possible at this moment');
  }
}

app.delete('/account', async (request, reply) => {
  const account = await accountOf(request);
  await accounts.delete(account);
  lookupDueAt.delete(account.unionId);
  // Empty if eraseAgain() has just done it.
  for (const pair of accounts.toErase().filter(([unionId]) => unionId === account.unionId)) await erase(pair);
  return reply.code(204).send();
});

/** Erases a deleted account at the broker. */
async function erase([unionId, number]) {
  try {
    await broker.erase(unionId);
    await accounts.erased(unionId, number);
  } catch (error) {
    app.log.warn(error, 'an erasure failed and is tried again');
  }
}

/**
 * Tries failed erasures again, also after a restart. The next loop begins after this one, because it can take long.
 * 重试失败的注销，重启之后也会继续。
 */
async function eraseAgain() {
  for (const pair of accounts.toErase()) await erase(pair);
  setTimeout(eraseAgain, ERASE_AGAIN_MS).unref();
}

/** A question about an account creates it at the broker. So an account that was deleted during it is erased again. */
async function askAbout({ unionId }, answer) {
  try {
    return await answer;
  } finally {
    if (!accounts.byUnionId(unionId)) await accounts.eraseLater(unionId);
  }
}

eraseAgain();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close());
await app.listen({ host: HOST, port: Number(PORT) });
