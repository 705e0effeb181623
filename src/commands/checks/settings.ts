import { type ConfigParts, isProduction } from '../../config/config.ts';
import { proxyFor } from '../../proxies.ts';
import { serverUrl } from '../../session/session-verifier.ts';
import type { Text } from '../../token/text.ts';
import { type CheckResult, fail, ok, warn } from './check-result.ts';

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

const CONFIGURATION: Text = { en: 'configuration', zh: '配置' };
const ENVIRONMENT: Text = { en: 'environment', zh: '运行环境' };
const WAY_OUT: Text = { en: 'way out', zh: '出站方式' };
const ADMIN_TOKEN: Text = { en: 'admin token', zh: '管理令牌' };

/** Reports every problem of the configuration, and settings that are allowed but risky. */
export function checkSettings(parts: ConfigParts): CheckResult[] {
  const problems = [...parts.problems.values()].map((problem) =>
    fail(CONFIGURATION, {
      detail: problem,
      fix: {
        en: 'Correct this. .env.example explains every setting.',
        zh: '请修正。每个配置项的说明见 .env.example.zh。',
      },
    }),
  );
  const configuration =
    problems.length > 0 ? problems : [ok(CONFIGURATION, { en: 'every setting is valid', zh: '所有配置项均有效' })];
  return [
    ...configuration,
    ...checkEnvironment(parts),
    ...checkWaysOut(parts),
    ...checkHeaders(parts),
    ...checkAdmin(parts),
  ];
}

/** The way to each server that the broker may reach through a proxy, if the settings name one. */
function checkWaysOut({ vendor, session, proxies }: ConfigParts): CheckResult[] {
  if (!proxies.HTTPS_PROXY && !proxies.HTTP_PROXY) return [];
  const ofVendor = vendor ? [vendor.baseUrl, ...vendor.regionUrls.values()] : [];
  const urls = [...ofVendor, session && serverUrl(session)].filter((url) => url !== undefined);
  const origins = new Set(urls.map(({ origin }) => origin));
  return [...origins].map((origin) => {
    const proxy = proxyFor(new URL(origin), proxies);
    if (!proxy) return ok(WAY_OUT, { en: `${origin}: without a proxy`, zh: `${origin}：不经过代理` });
    const { setting, url } = proxy;
    const detail: Text = {
      en: `${origin}: through the proxy ${url.host} (${setting})`,
      zh: `${origin}：经过代理 ${url.host}（${setting}）`,
    };
    if (!LOOPBACK.test(new URL(origin).hostname)) return ok(WAY_OUT, detail);
    return warn(WAY_OUT, {
      detail: {
        en: `${detail.en}, for which this is an address of its own machine`,
        zh: `${detail.zh}，而对代理来说，这是代理本机的地址`,
      },
      fix: {
        en: 'Add localhost,127.0.0.0/8,::1 to NO_PROXY.',
        zh: '在 NO_PROXY 中加上 localhost,127.0.0.0/8,::1。',
      },
    });
  });
}

function checkEnvironment({ vendor, values }: ConfigParts): CheckResult[] {
  const domains = vendor ? [vendor.baseUrl, ...vendor.regionUrls.values()] : [];
  const remote = domains.filter(({ hostname }) => !LOOPBACK.test(hostname));
  const unencrypted = [...new Set(remote.filter(({ protocol }) => protocol === 'http:').map(({ host }) => host))];
  const results: CheckResult[] = [];
  if (remote.length > 0 && !isProduction(values)) {
    const detail = {
      en: 'NODE_ENV is not production, but the vendor is on another machine',
      zh: 'NODE_ENV 不是 production，但厂商不在本机',
    };
    const fix = {
      en: 'Set NODE_ENV=production. The broker then insists on TOKEN_ENCRYPTION_KEYS if it uses Redis.',
      zh: '设置 NODE_ENV=production。这样，使用 Redis 时 Broker 会强制要求 TOKEN_ENCRYPTION_KEYS。',
    };
    results.push(warn(ENVIRONMENT, { detail, fix }));
  }
  if (unencrypted.length > 0) {
    const hosts = unencrypted.join(', ');
    const detail = {
      en: `the broker sends the appToken unencrypted to ${hosts}`,
      zh: `Broker 以明文把 appToken 发送到 ${hosts}`,
    };
    const fix = {
      en: 'Use https:// in VENDOR_BASE_URL and VENDOR_REGION_URLS.',
      zh: '在 VENDOR_BASE_URL 和 VENDOR_REGION_URLS 中使用 https://。',
    };
    results.push(warn(ENVIRONMENT, { detail, fix }));
  }
  return results;
}

/** nginx removes headers whose name has an underscore, also as an ingress of Kubernetes. */
function checkHeaders({ forwardedSession }: ConfigParts): CheckResult[] {
  const names = forwardedSession?.headers.filter((name) => name.includes('_')).join(', ');
  if (!names) return [];
  const detail = {
    en: `nginx removes this header of SESSION_FORWARD_HEADERS, because its name has an underscore: ${names}`,
    zh: `SESSION_FORWARD_HEADERS 中有名称带下划线的请求头，nginx 会丢弃它：${names}`,
  };
  const fix = {
    en: 'If nginx is in front of the broker or of your cloud, set underscores_in_headers on there, as in deploy/compose/nginx.conf.',
    zh: '如果 Broker 或你的服务端前面有 nginx，请在其中设置 underscores_in_headers on，参见 deploy/compose/nginx.conf。',
  };
  return [warn({ en: 'session headers', zh: '会话请求头' }, { detail, fix })];
}

function checkAdmin({ admin }: ConfigParts): CheckResult[] {
  if (!admin) return [];
  if (admin.tokens.length === 0) {
    const detail = {
      en: 'not set: the internal API serves only health and metrics',
      zh: '未设置：内部 API 只提供健康检查和指标',
    };
    return [ok(ADMIN_TOKEN, detail)];
  }
  const callers = admin.tokens.map(({ name }) => name).join(', ');
  return [ok(ADMIN_TOKEN, { en: `callers: ${callers}`, zh: `调用方：${callers}` })];
}
