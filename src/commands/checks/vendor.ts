import type { VendorConfig } from '../../config/config.ts';
import type { Text } from '../../token/text.ts';
import { VendorClient, type VendorClientOptions } from '../../vendor-api/client.ts';
import { probeVendor, type UnsignedLogin, type VendorExchange } from '../../vendor-api/exchange.ts';
import { VendorFault } from '../../vendor-api/faults.ts';
import type { VendorApp } from '../../vendor-api/signed-call.ts';
import { type CheckResult, fail, networkProblem, ok, type Problem, warn } from './check-result.ts';

/** Upper limit of an attempt in ms, whatever VENDOR_TIMEOUT_MS says: there may be two attempts. */
const MAX_ATTEMPT_MS = 5_000;

/** Differences of the clocks above which the check warns, and fails. */
const WARN_OFFSET_MS = 30_000;
const MAX_OFFSET_MS = 120_000;

/** The account of the signed call. The vendor refuses the call, so this name matters only if it does not. */
const CHECK_ACCOUNT = 'sdk-token-broker-check';

/**
 * Checks every domain of the vendor, its clock, and every app there, by a signed call without a country: the vendor
 * verifies its signature, and should then refuse it. `login` replaces one of these calls.
 */
export async function checkVendor(
  vendor: VendorConfig,
  wayOut: Omit<VendorClientOptions, 'connectTimeoutMs'>,
  login: UnsignedLogin | undefined,
): Promise<CheckResult[]> {
  const domains = new Map([vendor.baseUrl, ...vendor.regionUrls.values()].map((url) => [url.href, url]));
  const timeoutMs = Math.min(vendor.timeoutMs, MAX_ATTEMPT_MS);
  const { clock } = wayOut;
  const transport = new VendorClient({ ...wayOut, connectTimeoutMs: timeoutMs });
  const checks = [...domains.values()].map(async (domain) => {
    const calls = [...vendor.apps.values()].map(async (app) => {
      const isLogin = login?.domain.href === domain.href && login.app === app;
      const call = isLogin ? login : callWithoutCountry(domain, app);
      return { app, isLogin, outcome: await probeVendor(call, { transport, clock, timeoutMs }).catch(asFault) };
    });
    return resultsOf(domain.host, await Promise.all(calls));
  });
  const results = await Promise.all(checks);
  await transport.close();
  return results.flat();
}

interface Call {
  readonly app: VendorApp;
  readonly isLogin: boolean;
  readonly outcome: VendorExchange | VendorFault;
}

function callWithoutCountry(domain: URL, app: VendorApp): UnsignedLogin {
  return { domain, app, subject: { app: app.name, unionId: CHECK_ACCOUNT, uniqueId: CHECK_ACCOUNT }, region: '' };
}

function asFault(error: unknown): VendorFault {
  if (error instanceof VendorFault) return error;
  throw error;
}

function resultsOf(host: string, calls: readonly Call[]): CheckResult[] {
  const name = { en: `vendor ${host}`, zh: `厂商 ${host}` };
  const [answer] = calls.flatMap(({ outcome }) => (outcome instanceof VendorFault ? [] : [outcome]));
  const [fault] = calls.flatMap(({ outcome }) => (outcome instanceof VendorFault ? [outcome] : []));
  if (!answer) return fault ? [fail(name, faultProblem(fault, host))] : [];
  return [
    ok(name, { en: `answered in ${answer.roundTripMs} ms`, zh: `${answer.roundTripMs} 毫秒内响应` }),
    clockResult({ en: `clock of ${host}`, zh: `${host} 的时钟` }, answer.offsetMs),
    ...calls.map(({ app, isLogin, outcome }) => {
      const callName = {
        en: `${isLogin ? 'login' : 'app'} ${app.name} at ${host}`,
        zh: `${host} ${isLogin ? '登录' : 'App'} ${app.name}`,
      };
      if (outcome instanceof VendorFault) return fail(callName, faultProblem(outcome, host));
      return isLogin ? loginResult(callName, outcome) : signedCallResult(callName, outcome);
    }),
  ];
}

function clockResult(name: Text, offsetMs: number | undefined): CheckResult {
  if (offsetMs === undefined) {
    const fix = {
      en: 'Make sure that no proxy removes the header. Without it, the broker cannot notice a wrong clock.',
      zh: '确认没有代理去掉这个响应头。没有它，Broker 无法发现时钟不准。',
    };
    return warn(name, { detail: { en: 'the answer has no Date header', zh: '响应中没有 Date 响应头' }, fix });
  }
  if (offsetMs === 0) return ok(name, { en: 'agrees with the clock of this machine', zh: '与本机时钟一致' });
  const seconds = Math.abs(Math.round(offsetMs / 1_000));
  const detail = {
    en: `${seconds} s ${offsetMs > 0 ? 'ahead of' : 'behind'} this machine`,
    zh: `比本机${offsetMs > 0 ? '快' : '慢'} ${seconds} 秒`,
  };
  if (Math.abs(offsetMs) <= WARN_OFFSET_MS) return ok(name, detail);
  const fix = {
    en: 'Set the clock of this machine by NTP (chrony, systemd-timesyncd). The vendor refuses a difference above 300 s.',
    zh: '用 NTP（chrony、systemd-timesyncd）校准本机时钟。相差超过 300 秒时，厂商会拒绝登录。',
  };
  return Math.abs(offsetMs) <= MAX_OFFSET_MS ? warn(name, { detail, fix }) : fail(name, { detail, fix });
}

/** Judges the answer to the call without a country (docs/vendor-login.md, "Result codes"). */
function signedCallResult(name: Text, exchange: VendorExchange): CheckResult {
  const { code } = exchange;
  switch (exchange.kind) {
    case 'request':
      return ok(name, {
        en: `signature accepted: the vendor refuses only the empty country (${code}); only a real login (--login) tests the appToken`,
        zh: `签名已通过：厂商只拒绝了空的国家（${code}）；要检验 appToken，需真实登录一次（--login）`,
      });
    case 'success':
      return warn(name, {
        detail: {
          en: `accepted with an empty country (${code}): the vendor has logged the account ${CHECK_ACCOUNT} in`,
          zh: `空的国家也被接受（${code}）：厂商登录了账号 ${CHECK_ACCOUNT}`,
        },
        fix: {
          en: 'The signature and the app are right. Ask the vendor whether that account may stay.',
          zh: '签名和 App 均正确。请询问厂商该账号是否可以保留。',
        },
      });
    case 'account_closed':
      return ok(name, { en: `signature and app accepted (${code})`, zh: `签名和 App 已通过（${code}）` });
    case 'too_frequent':
    case 'unknown':
      return warn(name, refusalProblem(exchange));
    case 'clock_skew':
    case 'configuration':
    case 'maintenance':
      return fail(name, refusalProblem(exchange));
  }
}

function loginResult(name: Text, exchange: VendorExchange): CheckResult {
  if (!exchange.token) return fail(name, refusalProblem(exchange));
  const { fields, issuedAt, expiresAt } = exchange.token;
  const end = fields['accessId']?.slice(-4);
  const hours = ((expiresAt - issuedAt) / 3_600_000).toFixed(1);
  return ok(name, {
    en: `succeeded: accessId …${end}, a token for ${hours} h`,
    zh: `成功：accessId …${end}，令牌有效期 ${hours} 小时`,
  });
}

function refusalProblem({ code, reason, kind }: Extract<VendorExchange, { token: undefined }>): Problem {
  switch (kind) {
    case 'request':
      return {
        detail: { en: `the vendor refuses a field of the login (${code})`, zh: `厂商拒绝登录的某个字段（${code}）` },
        fix: {
          en: 'Correct --union-id, --unique-id or --region.',
          zh: '修正 --union-id、--unique-id 或 --region。',
        },
      };
    case 'account_closed':
      return {
        detail: { en: `the vendor has closed this account (${code})`, zh: `厂商已关闭该账号（${code}）` },
        fix: { en: 'Use another --union-id.', zh: '换一个 --union-id。' },
      };
    case 'too_frequent':
    case 'maintenance':
      return {
        detail: { en: `the vendor takes no calls at this moment (${code})`, zh: `厂商目前不接受调用（${code}）` },
        fix: RETRY_LATER,
      };
    case 'unknown':
      return {
        detail: { en: `the vendor refuses with an unknown code (${code})`, zh: `厂商以未知的结果码拒绝（${code}）` },
        fix: {
          en: 'Ask the vendor what the code means. A real login (--login) may still succeed.',
          zh: '向厂商咨询该结果码的含义。真实登录（--login）仍可能成功。',
        },
      };
    case 'clock_skew':
    case 'configuration':
      if (code === 10_007) return signatureProblem(reason);
      return {
        detail: { en: `the vendor refuses the app (${code})`, zh: `厂商拒绝该 App（${code}）` },
        fix: {
          en: 'Correct its appId and appToken, and its accessId if you set one (VENDOR_APP_… or VENDOR_APPS). They must belong to one app, which may be known at one domain only. If the vendor has frozen it (10901051), ask the vendor.',
          zh: '修正 appId 和 appToken；如果设置了 accessId，也请核对（VENDOR_APP_… 或 VENDOR_APPS）。它们必须属于同一个 App，而有些 App 只在某一个域名下有效。如果 App 已被厂商冻结（10901051），请联系厂商。',
        },
      };
  }
}

const RETRY_LATER: Text = { en: 'Wait a minute, then run the check again.', zh: '等一分钟，再运行一次检查。' };

function signatureProblem(reason: string | undefined): Problem {
  const shown = `10007${reason === undefined ? '' : `:${reason}`}`;
  if (reason === '-2') {
    return {
      detail: {
        en: `the vendor refuses the timestamp, even one by its own Date header (${shown})`,
        zh: `厂商拒绝时间戳，即使它取自厂商自己的 Date 响应头（${shown}）`,
      },
      fix: {
        en: 'Set the clock of this machine by NTP. If it is right, ask the vendor about its clock.',
        zh: '用 NTP 校准本机时钟。如果本机时钟没有问题，请厂商检查它的时钟。',
      },
    };
  }
  return {
    detail: { en: `the vendor says that the signature is wrong (${shown})`, zh: `厂商提示签名错误（${shown}）` },
    fix: {
      en: 'Correct its appKey (VENDOR_APP_KEY or VENDOR_APPS), and its accessId if you set one. Make sure that no proxy changes the Host header or the body. The command `sign` prints a signed login to compare with the vendor.',
      zh: '修正 appKey（VENDOR_APP_KEY 或 VENDOR_APPS）；如果设置了 accessId，也请核对。确认没有代理改动 Host 请求头或请求体。`sign` 命令会打印一次签名后的登录，可与厂商核对。',
    },
  };
}

/** Explains why there is no valid answer. */
function faultProblem({ kind, facts }: VendorFault, address: string): Problem {
  const setting = 'VENDOR_BASE_URL / VENDOR_REGION_URLS';
  const { httpStatus, problem = 'unknown' } = facts;
  if (kind === 'timeout') return networkProblem('timeout', { address, setting });
  if (kind === 'unreachable') return networkProblem(problem, { address, setting });
  if (kind === 'outage' || kind === 'too_frequent') {
    const detail = {
      en: `${address} answers HTTP ${httpStatus} without a result`,
      zh: `${address} 返回 HTTP ${httpStatus}，没有结果码`,
    };
    return { detail, fix: RETRY_LATER };
  }
  const status = httpStatus === undefined ? undefined : `HTTP ${httpStatus}; ${problem}`;
  return {
    detail: {
      en: `${address} does not answer with the vendor's protocol${status === undefined ? '' : ` (${status})`}`,
      zh: `${address} 没有按厂商的协议响应${status === undefined ? '' : `（${status}）`}`,
    },
    fix: {
      en: `Correct ${setting}. Its path must be the part before /openapi/…. Make sure that no proxy answers instead of the vendor.`,
      zh: `修正 ${setting}。路径只写 /openapi/… 之前的部分。确认没有代理代替厂商响应。`,
    },
  };
}
