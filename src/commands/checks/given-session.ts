import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ConfigParts } from '../../config/config.ts';
import type { VariableName } from '../../config/variables.ts';
import { sessionSource } from '../../http/credentials.ts';
import { requireConfiguredApp } from '../../http/requested-subject.ts';
import { type CheckedClaim, type ClaimNames, isPresent, problemOf, reasonOf } from '../../session/claims.ts';
import { decisionOf, explainSession, type SessionExplanation } from '../../session/session-explanation.ts';
import type { SessionServerAccess } from '../../session/session-server.ts';
import type { SessionOptions } from '../../session/session-verifier.ts';
import type { Clock } from '../../token/clock.ts';
import { BrokerError } from '../../token/errors.ts';
import type { Principal } from '../../token/principal.ts';
import { accountId } from '../../token/subject.ts';
import { type Language, type Text, untranslated } from '../../token/text.ts';
import { UsageError } from '../command-line.ts';
import { type CheckResult, fail, ok, warn } from './check-result.ts';
import { connectionProblem, FOR_ENVELOPES } from './sessions.ts';

const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)$/;
const MAX_SHOWN = 120;

const PROMPT: Text = {
  en: 'Paste the session: the token, or its headers, for example "Cookie: sid=…". Then press Enter and Ctrl-D.',
  zh: '请粘贴会话：令牌，或构成会话的请求头，例如“Cookie: sid=…”。然后按回车键和 Ctrl-D。',
};

/** It follows another sentence. */
const OTHER_HEADER: Text = {
  en: ' If your cloud reads the session from another header, add its name to SESSION_FORWARD_HEADERS.',
  zh: '如果你的服务端从其他请求头读取会话，请把该请求头的名称加入 SESSION_FORWARD_HEADERS。',
};

const UNREADABLE: Text = {
  en: '--session: the file cannot be read. It holds the session; without it, standard input does',
  zh: '--session：无法读取该文件。文件的内容应是会话；不写文件名时，从标准输入读取',
};

const NO_SESSION: Text = { en: '--session: there is no session in the input', zh: '--session：输入中没有会话' };

/** @param file `-`: standard input, with a prompt to `err` on a terminal @throws UsageError if unreadable or empty */
export async function readSession(
  file: string,
  stdin: Readable & { readonly isTTY?: boolean | undefined },
  err: (line: string) => void,
  language: Language = 'en',
): Promise<IncomingHttpHeaders> {
  if (file === '-' && stdin.isTTY) err(PROMPT[language]);
  const content = await (file === '-' ? text(stdin) : readFile(file, 'utf8')).catch(() => {
    // The name may be a session that was given in place of a file.
    throw new UsageError(UNREADABLE[language]);
  });
  const session = content.trim();
  if (session === '') throw new UsageError(NO_SESSION[language]);
  return headersIn(session);
}

/** The headers of an app that sends this session: a bearer token, or lines `Name: value`. */
export function headersIn(session: string): IncomingHttpHeaders {
  const lines = session.split(/\r?\n/).filter((line) => line.trim() !== '');
  const headers = lines.map((line) => HEADER_LINE.exec(line));
  if (headers.every((match) => match !== null))
    return Object.fromEntries(headers.map(([, name = '', value = '']) => [name.toLowerCase(), value.trim()]));
  return { authorization: `Bearer ${session.replace(/^bearer +/i, '')}` };
}

/** The other settings that decide about a session. */
interface SessionSettings extends Pick<ConfigParts, 'forwardedSession' | 'defaultRegion'> {
  /** The names of the configured apps; `undefined` if the settings of the vendor are not valid. */
  readonly apps: readonly string[] | undefined;
}

/** Whose session it is, or why the broker refuses it, claim by claim. The results do not show the session. */
export async function checkSession(
  options: SessionOptions,
  settings: SessionSettings,
  headers: IncomingHttpHeaders,
  access: SessionServerAccess,
): Promise<CheckResult[]> {
  try {
    const session = sessionSource(settings.forwardedSession)(headers);
    const explanation = await explainSession(options, session, access);
    const { decision, claims } = await withRuleForApps(explanation, options.claims, settings);
    const results = claims.map((claim) => claimResult(claim, options, settings));
    const last =
      decision instanceof BrokerError
        ? refused(decision, claims, options)
        : accepted(decision, access.clock, settings.defaultRegion);
    return [...results, last];
  } catch (error) {
    if (error instanceof BrokerError) return [refused(error, [], options)];
    throw error;
  }
}

/** Refuses a session of an app that is not configured, which the verifiers cannot know. */
async function withRuleForApps(
  { decision, claims }: SessionExplanation,
  { app: appClaim }: ClaimNames,
  { apps }: SessionSettings,
): Promise<SessionExplanation> {
  if (apps === undefined) return { decision, claims };
  return {
    decision: await decisionOf(async () => {
      if (!(decision instanceof BrokerError) && decision.app !== undefined) requireConfiguredApp(apps, decision.app);
      return decision;
    }),
    claims: claims.map((claim) => {
      const { name, value, problem } = claim;
      if (name !== appClaim || typeof value !== 'string' || problem !== undefined) return claim;
      return { ...claim, problem: problemOf(() => requireConfiguredApp(apps, value)) };
    }),
  };
}

function claimResult(claim: CheckedClaim, options: SessionOptions, settings: SessionSettings): CheckResult {
  const { name, value, problem } = claim;
  const shownName = visible(name);
  const label = { en: `session ${shownName}`, zh: `会话 ${NOT_CLAIMS.get(name) ?? shownName}` };
  const shown: Text =
    value === undefined
      ? { en: 'not there', zh: '不存在' }
      : untranslated(`${shortened(value)}${dateOf(claim, options.claims)}`);
  const because = (reason: Text): Text => ({ en: `${shown.en}: ${reason.en}`, zh: `${shown.zh}：${reason.zh}` });
  if (problem !== undefined) {
    return fail(label, { detail: because(problem), fix: fixFor(name, value, options, settings) });
  }
  const consequence = isPresent(value)
    ? riskOfAccount(name, String(value), options.claims)
    : consequenceWithout(name, options.claims, settings);
  return consequence === undefined
    ? ok(label, shown)
    : warn(label, { detail: because(consequence), fix: fixFor(name, value, options, settings) });
}

const EMAIL_ADDRESS = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;
/** With its country code, or of mainland China. */
const PHONE_NUMBER = /^\+[1-9][\d ().-]{6,18}$|^((00)?86[ -]?)?1[3-9]\d([ -]?\d{4}){2}$/;

/** The risk of an account id that may pass to another person; `undefined` if it does not look like one. */
function riskOfAccount(name: string, value: string, { unionId }: ClaimNames): Text | undefined {
  if (name !== unionId) return undefined;
  const kind = EMAIL_ADDRESS.test(value)
    ? { en: 'an e-mail address', zh: '邮箱地址' }
    : PHONE_NUMBER.test(value) && { en: 'a phone number', zh: '手机号' };
  return kind
    ? {
        en: `it looks like ${kind.en}: the vendor gets it as unionId, and its next owner would get the account and its cameras`,
        zh: `看起来像${kind.zh}：它会作为 unionId 发给厂商，而且换了主人之后，新主人会得到该账号和其中的摄像机`,
      }
    : undefined;
}

/** The consequence for an app or an account whose sessions lack this optional claim. */
function consequenceWithout(
  name: string,
  { region, app, issuedAt, expiresAt }: SessionOptions['claims'],
  { defaultRegion }: SessionSettings,
): Text | undefined {
  if (name === expiresAt && expiresAt !== 'exp') {
    return {
      en: 'the broker takes it for a session without an end',
      zh: 'Broker 会认为该会话没有过期时间',
    };
  }
  if (name === issuedAt) {
    return {
      en: 'after an erasure of its account, the broker refuses it and all later ones for 400 days',
      zh: '账号注销之后的 400 天内，Broker 会拒绝该会话和之后的所有会话',
    };
  }
  if (name === app) return { en: 'the session is valid for every app', zh: '该会话对所有 App 有效' };
  if (name === region && defaultRegion === undefined) {
    return {
      en: 'the first request of its account gets 400 request_invalid, unless the app sends regRegion',
      zh: '账号的首次请求会得到 400 request_invalid，除非 App 发送 regRegion',
    };
  }
  return undefined;
}

/** The last millisecond of the year 9999. */
const MAX_SHOWN_MS = 253_402_300_799_999;

/** A time as a date, because nobody reads numbers since 1970. */
function dateOf({ name, value }: CheckedClaim, { issuedAt, expiresAt, timeUnit }: SessionOptions['claims']): string {
  const unit = name === 'nbf' ? 's' : timeUnit;
  if (!['nbf', issuedAt, expiresAt].includes(name) || !/^-?[\d.]+$/.test(String(value))) return '';
  const at = Number(value) * (unit === 's' ? 1_000 : 1);
  return Math.abs(at) <= MAX_SHOWN_MS ? ` (${new Date(at).toISOString()})` : '';
}

const KIND_OF_TOKEN = 'kind of token';

/** The names of the checks that are no claims, in Chinese. */
const NOT_CLAIMS: ReadonlyMap<string, string> = new Map([
  ['signature', '签名'],
  [KIND_OF_TOKEN, '令牌类型'],
]);

/** By the name of a claim. `fixFor` has the others. */
const FIXES: ReadonlyMap<string, Text> = new Map(
  Object.entries({
    signature: {
      en: 'Publish the key that signs your sessions at SESSION_JWT_JWKS_URL, or correct SESSION_JWT_PUBLIC_KEY, SESSION_JWT_SECRET or SESSION_JWT_ALGORITHMS.',
      zh: '在 SESSION_JWT_JWKS_URL 上发布签名所用的密钥，或修正 SESSION_JWT_PUBLIC_KEY、SESSION_JWT_SECRET 或 SESSION_JWT_ALGORITHMS。',
    },
    typ: {
      en: 'Issue sessions with the header parameter typ JWT or at+jwt, or without it.',
      zh: '签发会话时，把 header 中的 typ 设为 JWT 或 at+jwt，或不设。',
    },
    iss: {
      en: 'Issue sessions with this issuer, or correct SESSION_JWT_ISSUER.',
      zh: '用这个 issuer 签发会话，或修正 SESSION_JWT_ISSUER。',
    },
    scope: {
      en: 'Grant the scope to the app, or correct SESSION_INTROSPECTION_SCOPE.',
      zh: '给 App 授予该 scope，或修正 SESSION_INTROSPECTION_SCOPE。',
    },
    active: {
      en: 'Let the app get a new session. Check that the OAuth server has issued it.',
      zh: '让 App 重新获取登录态（会话）。确认它由该 OAuth 服务器签发。',
    },
    [KIND_OF_TOKEN]: { en: 'Let the app send an access token.', zh: '让 App 发送 access token。' },
  }),
);

function fixFor(name: string, value: unknown, options: SessionOptions, settings: SessionSettings): Text {
  const { mode, claims } = options;
  if (name === 'aud') {
    const setting = mode === 'introspection' ? 'SESSION_INTROSPECTION_AUDIENCE' : 'SESSION_JWT_AUDIENCE';
    return {
      en: `Issue sessions for this audience, or correct ${setting}.`,
      zh: `为这个 audience 签发会话，或修正 ${setting}。`,
    };
  }
  if (mode === 'forward' && [options.accepted?.path, options.refused?.path].includes(name)) {
    return {
      en: `If your cloud refuses this session, let the app log in again. Otherwise look in the log of your cloud, or correct SESSION_FORWARD_ACCEPTED and SESSION_FORWARD_REFUSED.${OTHER_HEADER.en}`,
      zh: `如果你的云拒绝了该会话，让 App 重新登录。否则请查看你的云的日志，或修正 SESSION_FORWARD_ACCEPTED 和 SESSION_FORWARD_REFUSED。${OTHER_HEADER.zh}`,
    };
  }
  return (
    (mode === 'forward' ? undefined : FIXES.get(name)) ??
    (isPresent(value) ? fixForTime(name, claims) : undefined) ??
    fixForPrincipal(name, value, options, settings)
  );
}

const UNITS = { s: { en: 'seconds', zh: '秒' }, ms: { en: 'milliseconds', zh: '毫秒' } };

/** @returns `undefined` if the claim is not a time */
function fixForTime(name: string, { issuedAt, expiresAt, timeUnit }: SessionOptions['claims']): Text | undefined {
  if (!['nbf', issuedAt, expiresAt].includes(name)) return undefined;
  const unit = UNITS[name === 'nbf' ? 's' : timeUnit];
  const setting = name === 'nbf' ? '' : ` (SESSION_CLAIM_TIME_UNIT=${timeUnit === 's' ? 'ms' : 's'})`;
  const renew =
    name === expiresAt ? { en: 'Let the app get a new session. ', zh: '让 App 重新获取登录态。' } : untranslated('');
  const claim = visible(name);
  return {
    en: `${renew.en}Issue sessions with ${claim} in ${unit.en} since 1970, as a number, or correct the unit${setting} or the clock of this host or of the issuer.`,
    zh: `${renew.zh}签发会话时，${claim} 应为以${unit.zh}为单位的 Unix 时间戳，数字；否则请修正单位${setting}，或校准本机或签发方的时钟。`,
  };
}

/** If several settings name one claim, the first one counts. */
const CLAIM_SETTINGS = {
  app: 'SESSION_CLAIM_APP',
  region: 'SESSION_CLAIM_REGION',
  issuedAt: 'SESSION_CLAIM_ISSUED_AT',
  expiresAt: 'SESSION_CLAIM_EXPIRES_AT',
  unionId: 'SESSION_CLAIM_UNION_ID',
} as const satisfies Record<Exclude<keyof ClaimNames, 'timeUnit'>, VariableName>;
const NAMED_CLAIMS = Object.keys(CLAIM_SETTINGS) as (keyof typeof CLAIM_SETTINGS)[];

function fixForPrincipal(name: string, value: unknown, options: SessionOptions, { apps }: SessionSettings): Text {
  const named = NAMED_CLAIMS.find((one) => options.claims[one] === name) ?? 'unionId';
  const setting = CLAIM_SETTINGS[named];
  const claim = visible(name);
  const [correct, correctInChinese] = isPresent(value)
    ? [`Correct the value of the claim ${claim}`, `修正声明 ${claim} 的值`]
    : [`Add the claim ${claim}`, `加上声明 ${claim}`];
  const fix: Text = {
    en: `${correct} in the sessions that your cloud issues, or name another claim in ${setting}.`,
    zh: `在你的云签发的会话中${correctInChinese}，或用 ${setting} 指定另一个声明。`,
  };
  if (named === 'app' && apps) {
    const names = apps.join(', ');
    return { en: `${fix.en} Configured apps: ${names}.`, zh: `${fix.zh}已配置的 App：${names}。` };
  }
  if (isPresent(value)) return fix;
  if (named === 'region') return { en: `${fix.en} Or set DEFAULT_REGION.`, zh: `${fix.zh}也可以设置 DEFAULT_REGION。` };
  const mayBeEnvelope = options.mode === 'forward' && !options.accepted && named === 'unionId';
  return mayBeEnvelope ? { en: fix.en + FOR_ENVELOPES.en, zh: fix.zh + FOR_ENVELOPES.zh } : fix;
}

function accepted(
  { unionId, region, app, expiresAt }: Principal,
  clock: Clock,
  defaultRegion: string | undefined,
): CheckResult {
  const seconds = Math.round((expiresAt - clock.now()) / 1_000);
  const hasNoEnd = expiresAt >= Number.MAX_SAFE_INTEGER;
  const account = shortened(unionId);
  const digest = accountId(unionId);
  const ofDefault = defaultRegion
    ? { en: `country ${defaultRegion} (DEFAULT_REGION)`, zh: `国家 ${defaultRegion}（DEFAULT_REGION）` }
    : { en: 'no country', zh: '没有国家' };
  const parts: Readonly<Record<keyof Principal, Text | undefined>> = {
    unionId: {
      en: `accepted: account ${account} (digest ${digest})`,
      zh: `已接受：账号 ${account}（摘要 ${digest}）`,
    },
    region: region === undefined ? ofDefault : { en: `country ${region}`, zh: `国家 ${region}` },
    app: app === undefined ? undefined : { en: `app ${app}`, zh: `App ${app}` },
    // The line of its claim shows it.
    issuedAt: undefined,
    expiresAt: hasNoEnd
      ? { en: 'no end', zh: '没有过期时间' }
      : { en: `ends in ${seconds} s`, zh: `${seconds} 秒后过期` },
  };
  const said = Object.values(parts).filter((part) => part !== undefined);
  return ok(SESSION, { en: said.map(({ en }) => en).join(', '), zh: said.map(({ zh }) => zh).join('，') });
}

const SESSION: Text = { en: 'session', zh: '会话' };

function refused(error: BrokerError, claims: readonly CheckedClaim[], options: SessionOptions): CheckResult {
  const reason = connectionProblem(error.cause, options)?.detail ?? reasonOf(error);
  const detail = {
    en: `refused with ${error.code}: ${reason.en}`,
    zh: `被拒绝，错误码 ${error.code}：${reason.zh}`,
  };
  return fail(SESSION, { detail, fix: fixForRefusal(error, claims, options) });
}

function fixForRefusal({ code, cause }: BrokerError, claims: readonly CheckedClaim[], options: SessionOptions): Text {
  const { mode } = options;
  const isExplained = claims.some(({ problem }) => problem !== undefined);
  const hasWrongSignature = claims.some(({ name, problem }) => name === 'signature' && problem !== undefined);
  if (code === 'session_check_unavailable' && mode === 'jwt' && hasWrongSignature) {
    return { en: 'See the check of the session keys.', zh: '见会话密钥一项的检查结果。' };
  }
  if (code === 'session_check_unavailable' && !isExplained) {
    return (
      connectionProblem(cause, options)?.fix ?? {
        en: 'Correct the URL of the session server, or look in its log: it does not say whether it accepts this session.',
        zh: '请修正会话服务器的 URL，或查看它的日志：它没有说明是否接受该会话。',
      }
    );
  }
  if (isExplained) return { en: 'See the lines above.', zh: '见上面各行。' };
  if (mode !== 'forward') {
    return {
      en: `Send the session in the form that SESSION_MODE=${mode} expects: only the token.`,
      zh: `按 SESSION_MODE=${mode} 的要求提供会话：只要令牌。`,
    };
  }
  if (code !== 'session_invalid') {
    return {
      en: `Send the headers of SESSION_FORWARD_HEADERS, one per line, for example: printf 'Cookie: %s' 'sid=…' | … check --session.${OTHER_HEADER.en}`,
      zh: `提供 SESSION_FORWARD_HEADERS 中的请求头，每行一个，例如：printf 'Cookie: %s' 'sid=…' | … check --session。${OTHER_HEADER.zh}`,
    };
  }
  return {
    en: `Only your cloud knows the reason: look in its log. If the session has expired, let the app log in again.${OTHER_HEADER.en}`,
    zh: `只有你的服务端知道原因：请查看它的日志。如果会话已过期，让 App 重新登录。${OTHER_HEADER.zh}`,
  };
}

/** A value as JSON, unless it is a plain word. */
function shortened(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@+-]+$/.test(value)) return visible(value);
  return visible(typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? ''));
}

/** In visible ASCII, so that it cannot control the terminal, and not too long. */
function visible(text: string): string {
  const escaped = text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return escaped.length > MAX_SHOWN ? `${escaped.slice(0, MAX_SHOWN)}…` : escaped;
}
