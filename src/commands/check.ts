import { readConfigParts } from '../config/config.ts';
import { agentOpener } from '../proxies.ts';
import { SessionConnections, userAgentOf } from '../session/session-server.ts';
import { Certificates } from '../telemetry/certificates.ts';
import { certificateFindings } from '../telemetry/findings.ts';
import { systemClock, withTimeout } from '../token/clock.ts';
import { type Language, type Text, untranslated } from '../token/text.ts';
import { type CheckResult, certificateResult, fail } from './checks/check-result.ts';
import { checkSession, readSession } from './checks/given-session.ts';
import { checkSessions } from './checks/sessions.ts';
import { checkSettings } from './checks/settings.ts';
import { checkStore } from './checks/store.ts';
import { checkVendor } from './checks/vendor.ts';
import { type CommandContext, columnsOf, LANG_OPTION, languageOf, parseFlags, UsageError } from './command-line.ts';
import { chooseLogin, LOGIN_FLAGS_HELP, LOGIN_OPTIONS, readLogin } from './login-flags.ts';

const USAGE =
  'sdk-token-broker check [--session [FILE]] [--login --union-id ID --unique-id ID --region CC [--app NAME]] [--lang en|zh]';

const HELP: Text = {
  en: `${USAGE}

Checks that the service can run with this environment: the settings, Redis, the session keys or the session server,
and every vendor domain. For each problem it says how to fix it. It shows no secret and takes at most 15 s.

The check of the vendor is a signed call with an empty country for the account sdk-token-broker-check. The vendor
verifies the signature and then refuses the call. If it does not, it logs this account in, and check warns. This does
not test the appToken.

  --session [FILE]     also check a session of an app: print its account, or the reason of the refusal, for each claim.
                       The file, or standard input, holds the token, or the request headers that make up the session,
                       one per line: printf 'Cookie: %s' 'sid=…' | sdk-token-broker check --session
                       The session is not printed. Erasures are not looked up. It fetches the session keys anew, but a
                       running broker may still have older keys with the same kid, for at most 10 minutes
  --login              make a real login instead, which also tests the appToken. It may end the session of the SDK on
                       that phone: use a test account
${LOGIN_FLAGS_HELP}
  --lang en|zh         the language of the output (default: that of the terminal, by LC_ALL, LC_MESSAGES or LANG)

Exit code 0: no check failed. Exit code 1: a check failed.`,
  zh: `${USAGE}

检查服务能否用当前的环境变量运行：配置、Redis、会话密钥或会话服务器，以及每个厂商域名。对每个问题都说明如何修正。
不显示任何密钥或凭据，最多用时 15 秒。

对厂商的检查是一次国家为空的签名调用，账号为 sdk-token-broker-check。厂商校验签名，然后拒绝该调用。
如果厂商没有拒绝，就会登录这个账号，check 会给出警告。这不能检验 appToken。

  --session [FILE]     同时检查 App 的一个会话：逐个声明显示，并给出账号或拒绝的原因。
                       文件（或标准输入）的内容是令牌，或构成会话的请求头，每行一个，
                       例如：printf 'Cookie: %s' 'sid=…' | sdk-token-broker check --session
                       不打印会话本身，不查询账号是否已被注销。它会重新获取会话密钥，
                       而运行中的 Broker 可能仍使用 kid 相同的旧密钥，最多 10 分钟
  --login              改为真实登录一次，这样也能检验 appToken。可能使该手机上 SDK 的登录失效：请使用测试账号
  --union-id ID        账号
  --unique-id ID       手机：1 到 128 个可见 ASCII 字符，不能只是 . 或 ..
  --region CC          账号所属的国家，两个大写字母
  --app NAME           VENDOR_APPS 配置了多个 App 时，指定其中一个（默认：第一个）
  --lang en|zh         输出的语言（默认取终端的语言：LC_ALL、LC_MESSAGES 或 LANG）

退出码 0：没有任何一项失败。退出码 1：有检查项失败。`,
};

const OPTIONS = {
  ...LOGIN_OPTIONS,
  session: { type: 'string' },
  login: { type: 'boolean', default: false },
  ...LANG_OPTION,
} as const;

/** The `check` command. @returns the exit code. @throws UsageError, HelpRequested */
export async function check(args: readonly string[], { env, version, out, err }: CommandContext): Promise<number> {
  const language = languageOf(args, env);
  const help = HELP[language];
  const { login: isRealLogin, session: file, lang: _, ...flags } = parseFlags(withFile(args), OPTIONS, help);
  const [loginFlag] = Object.keys(flags);
  if (loginFlag && !isRealLogin) throw new UsageError(`--${loginFlag} requires --login\n\n${help}`);
  const login = isRealLogin ? readLogin(flags, help) : undefined;

  const headers = file === undefined ? undefined : await readSession(file, process.stdin, err, language);

  const parts = readConfigParts(env);
  const { vendor, session, store } = parts;
  const openAgent = agentOpener(parts.proxies);
  const certificates = new Certificates(systemClock);
  const wayOut = { clock: systemClock, userAgent: userAgentOf(version), openAgent };
  const access = { ...wayOut, connections: new SessionConnections(openAgent) };
  const settings = { ...parts, apps: vendor && [...vendor.apps.keys()] };
  const chosenLogin = vendor && login && chooseLogin(login, vendor);
  const checks = [
    checkSettings(parts),
    store && finish(untranslated('Redis'), checkStore(store.redis, systemClock)),
    session && finish({ en: 'sessions', zh: '会话校验' }, checkSessions(session, access)),
    session && headers && finish({ en: 'session', zh: '会话' }, checkSession(session, settings, headers, access)),
    vendor && finish({ en: 'vendor', zh: '厂商' }, checkVendor(vendor, wayOut, chosenLogin)),
  ];
  const checked = (await Promise.all(checks)).flatMap((partial) => partial ?? []);
  certificates.stop();
  const ending = certificateFindings({ certificates: certificates.seen(), now: systemClock.now() });
  const results = [...checked, ...ending.map(certificateResult)];
  out(report(results, language));
  return results.some(({ level }) => level === 'FAIL') ? 1 : 0;
}

/** `--session` without a file reads standard input. */
function withFile(args: readonly string[]): string[] {
  return args.flatMap((arg, at) => {
    const next = args[at + 1];
    return arg === '--session' && (next === undefined || next.startsWith('--')) ? [arg, '-'] : [arg];
  });
}

/** Longer than the timeouts of all requests of one check together. */
const CHECK_TIMEOUT_MS = 12_000;

/** Never rejects: a check that throws or takes too long is a failed check. */
async function finish(name: Text, check: Promise<readonly CheckResult[]>): Promise<readonly CheckResult[]> {
  try {
    const seconds = CHECK_TIMEOUT_MS / 1_000;
    const timedOut = {
      detail: { en: `no result after ${seconds} s`, zh: `${seconds} 秒后仍没有结果` },
      fix: { en: 'Run the check again.', zh: '再运行一次检查。' },
    };
    return (await withTimeout(systemClock, CHECK_TIMEOUT_MS, check)) ?? [fail(name, timedOut)];
  } catch (error) {
    // The message of the error may contain secrets.
    const kind = error instanceof Error ? error.name : typeof error;
    const detail = { en: `the check itself failed (${kind})`, zh: `检查本身失败（${kind}）` };
    const fix = { en: 'This is a bug of the broker. Please report it.', zh: '这是 Broker 的缺陷，请反馈。' };
    return [fail(name, { detail, fix })];
  }
}

const FIX_LABEL: Text = { en: 'To fix it: ', zh: '修正方法：' };

/** One line for each result, a second line with the fix for each problem, and the number of results by level. */
function report(results: readonly CheckResult[], language: Language): string {
  const width = Math.max(...results.map(({ name }) => columnsOf(name[language])));
  const lines = results.flatMap((result) => {
    const name = result.name[language];
    const padding = ' '.repeat(width - columnsOf(name));
    const line = `${result.level.padEnd(4)}  ${name}${padding}  — ${result.detail[language]}`;
    return result.level === 'ok' ? [line] : [line, `      ${FIX_LABEL[language]}${result.fix[language]}`];
  });
  const count = (level: CheckResult['level']) => results.filter((result) => result.level === level).length;
  const summary: Text = {
    en: `${count('ok')} ok, ${plural(count('warn'), 'warning')}, ${plural(count('FAIL'), 'failure')}`,
    zh: `${count('ok')} 项正常，${count('warn')} 项警告，${count('FAIL')} 项失败`,
  };
  return [...lines, '', summary[language]].join('\n');
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
