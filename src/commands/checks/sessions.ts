import { randomUUID } from 'node:crypto';
import type { VariableName } from '../../config/variables.ts';
import { reasonOf } from '../../session/claims.ts';
import { createIntrospectionVerifier } from '../../session/introspection-verifier.ts';
import { fetchJwks } from '../../session/published-keys.ts';
import { explainSession } from '../../session/session-explanation.ts';
import {
  AnswerTooLarge,
  networkErrorCode,
  type SessionServerAccess,
  UnexpectedStatus,
} from '../../session/session-server.ts';
import { acceptanceRisks, type SessionOptions, serverUrl } from '../../session/session-verifier.ts';
import { verificationKey } from '../../session/verification-key.ts';
import { BrokerError } from '../../token/errors.ts';
import { type Text, untranslated } from '../../token/text.ts';
import { type CheckResult, fail, networkProblem, ok, type Problem, type Target, warn } from './check-result.ts';

/** Checks that the broker can verify sessions, and that the session server refuses requests without a session. */
export async function checkSessions(session: SessionOptions, access: SessionServerAccess): Promise<CheckResult[]> {
  const name = { en: 'accepted sessions', zh: '接受的会话' };
  const risks = acceptanceRisks(session).map(({ risk, fix }) => warn(name, { detail: risk, fix }));
  return [await checkServer(session, access), ...risks];
}

function checkServer(session: SessionOptions, access: SessionServerAccess): Promise<CheckResult> {
  switch (session.mode) {
    case 'jwt':
      return checkKey(session, access);
    case 'introspection':
      return checkIntrospection(session, access);
    case 'forward':
      return checkForward(session, access);
  }
}

const URL_SETTINGS = {
  jwt: 'SESSION_JWT_JWKS_URL',
  introspection: 'SESSION_INTROSPECTION_URL',
  forward: 'SESSION_FORWARD_URL',
} as const satisfies Record<SessionOptions['mode'], VariableName>;

/** Why the server that checks sessions or publishes their keys cannot be reached; `undefined` if it has answered. */
export function connectionProblem(error: unknown, session: SessionOptions): Problem | undefined {
  const code = networkErrorCode(error);
  const url = serverUrl(session);
  if (!code || !url) return undefined;
  return networkProblem(code, { address: withoutQuery(url), setting: URL_SETTINGS[session.mode] });
}

type Mode<Name extends SessionOptions['mode']> = Extract<SessionOptions, { readonly mode: Name }>;

async function checkKey({ key, algorithms }: Mode<'jwt'>, access: SessionServerAccess): Promise<CheckResult> {
  const name = { en: 'session keys', zh: '会话密钥' };
  const accepted = algorithms ?? verificationKey(key).algorithms;
  const shown = accepted.join(', ');
  if ('secret' in key) return ok(name, { en: `a shared secret for ${shown}`, zh: `共享密钥，用于 ${shown}` });
  if ('publicKeyPem' in key) return ok(name, { en: `a public key for ${shown}`, zh: `公钥，用于 ${shown}` });
  const address = withoutQuery(key.jwksUrl);
  try {
    const { keys } = await fetchJwks(key.jwksUrl, access);
    const published = {
      en: `${address} publishes ${keys.length === 1 ? '1 key' : `${keys.length} keys`}; accepted: ${shown}`,
      zh: `${address} 发布了 ${keys.length} 个密钥；接受的算法：${shown}`,
    };
    if (keys.length > 0) return ok(name, published);
    const fix = { en: 'Publish the public key that verifies your sessions.', zh: '发布可校验你的会话的公钥。' };
    return fail(name, { detail: published, fix });
  } catch (error) {
    const jwkSet = { en: 'a JWK Set, {"keys":[…]}', zh: 'JWK Set（{"keys":[…]}）' };
    return requestFailed(name, error, { address, setting: URL_SETTINGS.jwt }, jwkSet);
  }
}

async function checkIntrospection(session: Mode<'introspection'>, access: SessionServerAccess): Promise<CheckResult> {
  const name = untranslated('introspection');
  const address = withoutQuery(session.url);
  try {
    const { active } = await createIntrospectionVerifier({ ...session, ...access }).ask(`made-up-${randomUUID()}`);
    if (!active) {
      const detail = {
        en: `${address} says that an invented token is inactive`,
        zh: `${address} 判定虚构的令牌无效`,
      };
      return ok(name, detail);
    }
    return fail(name, {
      detail: {
        en: `${address} says that an invented token is active: it would accept any token`,
        zh: `${address} 判定虚构的令牌有效：它会接受任何令牌`,
      },
      fix: {
        en: 'Set SESSION_INTROSPECTION_URL to an endpoint that checks tokens (RFC 7662).',
        zh: '把 SESSION_INTROSPECTION_URL 设为会校验令牌的端点（RFC 7662）。',
      },
    });
  } catch (thrown) {
    // The error for apps has the reason as its cause.
    const error = thrown instanceof BrokerError ? thrown.cause : thrown;
    if (error instanceof UnexpectedStatus && [400, 401, 403].includes(error.status)) {
      return fail(name, {
        detail: {
          en: `${address} refuses the client id and secret of the broker (HTTP ${error.status})`,
          zh: `${address} 拒绝 Broker 的 client ID 和 client secret（HTTP ${error.status}）`,
        },
        fix: {
          en: 'Correct SESSION_INTROSPECTION_CLIENT_ID and SESSION_INTROSPECTION_CLIENT_SECRET. Allow this client to introspect tokens and to authenticate with HTTP Basic.',
          zh: '修正 SESSION_INTROSPECTION_CLIENT_ID 和 SESSION_INTROSPECTION_CLIENT_SECRET。允许该客户端调用 introspection，并用 HTTP Basic 认证。',
        },
      });
    }
    const json = { en: 'JSON as in RFC 7662', zh: 'RFC 7662 规定的 JSON' };
    return requestFailed(name, error, { address, setting: URL_SETTINGS.introspection }, json);
  }
}

/** The advice for a session server that refuses with HTTP 200. It follows another sentence. */
export const FOR_ENVELOPES: Text = {
  en: ' If the server answers 200 with an envelope, such as {"code":401}, set SESSION_FORWARD_ACCEPTED and SESSION_FORWARD_REFUSED to what it says.',
  zh: '如果服务器返回 200，并用 {"code":401} 这样的内容表示拒绝，请相应设置 SESSION_FORWARD_ACCEPTED 和 SESSION_FORWARD_REFUSED。',
};

async function checkForward(session: Mode<'forward'>, access: SessionServerAccess): Promise<CheckResult> {
  const name = { en: 'session server', zh: '会话服务器' };
  const address = withoutQuery(session.url);
  const { decision, claims } = await explainSession(session, '{}', access);
  const refuse: Text = {
    en: `Make the server answer 401 or 403 to such a request, without a redirect, or correct ${URL_SETTINGS.forward}.`,
    zh: `让服务器对这种请求直接返回 401 或 403，不要重定向；或修正 ${URL_SETTINGS.forward}。`,
  };
  const hasAccount = claims.some((claim) => claim.name === session.claims.unionId && claim.problem === undefined);
  if (hasAccount || !(decision instanceof BrokerError)) {
    const detail = {
      en: `${address} answers a request without a session: anyone could get in`,
      zh: `${address} 对不带会话的请求也返回账号：任何人都能通过`,
    };
    const fix = {
      en: `${refuse.en} Make sure that no cache between the broker and the server answers instead of it.`,
      zh: `${refuse.zh}同时确认 Broker 与服务器之间没有缓存代替它响应。`,
    };
    return fail(name, { detail, fix });
  }
  if (decision.code === 'session_invalid') {
    const detail = {
      en: `${address} refuses a request without a session`,
      zh: `${address} 拒绝不带会话的请求`,
    };
    return ok(name, detail);
  }
  const unreachable = connectionProblem(decision.cause, session);
  if (unreachable) return fail(name, unreachable);
  const reason = reasonOf(decision);
  const orEnvelopes = { en: refuse.en + FOR_ENVELOPES.en, zh: refuse.zh + FOR_ENVELOPES.zh };
  return fail(name, {
    detail: {
      en: `${address} does not refuse a request without a session: ${reason.en}`,
      zh: `${address} 没有拒绝不带会话的请求：${reason.zh}`,
    },
    fix: claims.length > 0 ? orEnvelopes : refuse,
  });
}

function requestFailed(name: Text, error: unknown, target: Target, expected: Text): CheckResult {
  const code = networkErrorCode(error);
  if (code) return fail(name, networkProblem(code, target));
  const { address, setting } = target;
  const fix: Text = { en: `Correct ${setting}.`, zh: `修正 ${setting}。` };
  if (error instanceof AnswerTooLarge) {
    const { en, zh } = error.reason;
    return fail(name, { detail: { en: `${address}: ${en}`, zh: `${address}：${zh}` }, fix });
  }
  const status = error instanceof UnexpectedStatus ? `HTTP ${error.status}` : undefined;
  const isBusy = error instanceof UnexpectedStatus && (error.status >= 500 || error.status === 429);
  const seeLog = {
    en: `Look at the log of this server. If it is another server, correct ${setting}.`,
    zh: `查看该服务器的日志。如果不是它，请修正 ${setting}。`,
  };
  return fail(name, {
    detail: {
      en: `${address} answers with ${status ?? 'something else'} instead of ${expected.en}`,
      zh: `${address} 返回的是${status === undefined ? '其他内容' : ` ${status}`}，而不是 ${expected.zh}`,
    },
    fix: isBusy ? seeLog : fix,
  });
}

/** The query may contain a key. */
function withoutQuery({ origin, pathname }: URL): string {
  return origin + pathname;
}
