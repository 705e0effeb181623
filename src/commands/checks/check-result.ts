import type { Text } from '../../token/text.ts';

export interface Problem {
  /** The problem, in a short sentence. */
  readonly detail: Text;
  /** How to fix it: sentences in the imperative. */
  readonly fix: Text;
}

/** The result of one check, without secrets. `warn`: it works, but the operator should know. */
export type CheckResult = { readonly name: Text } & (
  | { readonly level: 'ok'; readonly detail: Text }
  | ({ readonly level: 'warn' | 'FAIL' } & Problem)
);

export function ok(name: Text, detail: Text): CheckResult {
  return { level: 'ok', name, detail };
}

export function warn(name: Text, problem: Problem): CheckResult {
  return { level: 'warn', name, ...problem };
}

export function fail(name: Text, problem: Problem): CheckResult {
  return { level: 'FAIL', name, ...problem };
}

/** @param seconds until it ends */
export function certificateResult({ host, seconds }: { readonly host: string; readonly seconds: number }): CheckResult {
  const days = Math.ceil(seconds / 86_400);
  const detail = {
    en: days > 0 ? `it ends within ${days} ${days === 1 ? 'day' : 'days'}` : 'it has ended',
    zh: days > 0 ? `${days} 天之内到期` : '已经过期',
  };
  const fix = { en: 'Renew the certificate of this server.', zh: '请更新该服务器的证书。' };
  return warn({ en: `certificate of ${host}`, zh: `${host} 的证书` }, { detail, fix });
}

export interface Target {
  /** Host and port, or the URL without the parts that may be secret. */
  readonly address: string;
  /** The name of the setting that holds the address. */
  readonly setting: string;
}

const CERTIFICATE_ERRORS = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY)_|ERR_TLS_CERT_)/;
const TLS_ERRORS = /^(EPROTO$|ERR_SSL_|HPE_)/;

/** @param reason the HTTP status by which the proxy refuses, or why there is no connection to it */
function proxyProblem(reason: string, address: string): Problem {
  if (!/^\d+$/.test(reason)) {
    return {
      detail: {
        en: `the proxy to ${address} cannot be reached (${reason})`,
        zh: `无法连接访问 ${address} 所用的代理（${reason}）`,
      },
      fix: {
        en: 'Start the proxy, or correct HTTPS_PROXY or HTTP_PROXY.',
        zh: '启动该代理，或修正 HTTPS_PROXY 或 HTTP_PROXY。',
      },
    };
  }
  return {
    detail: {
      en: `the proxy does not let the broker reach ${address} (HTTP ${reason})`,
      zh: `代理拒绝 Broker 访问 ${address}（HTTP ${reason}）`,
    },
    fix: {
      en: 'Correct the user and the password in HTTPS_PROXY or HTTP_PROXY, let the proxy connect to this host, or name the host in NO_PROXY.',
      zh: '修正 HTTPS_PROXY 或 HTTP_PROXY 中的用户名和密码，或让代理放行该主机，或把该主机加入 NO_PROXY。',
    },
  };
}

/** Explains a failed connection. @param code the error code of the operating system, Node, TLS or the proxy */
export function networkProblem(code: string, { address, setting }: Target): Problem {
  // undici hides a forwarded request's status 407 behind this code.
  const [, ofProxy] = /^PROXY_(.*)/.exec(code === 'UND_ERR_INVALID_ARG' ? 'PROXY_407' : code) ?? [];
  if (ofProxy !== undefined) return proxyProblem(ofProxy, address);
  const withTls = setting === 'REDIS_URL' ? 'rediss://' : 'https://';
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return {
        detail: {
          en: `DNS has no address for the host of ${address} (${code})`,
          zh: `DNS 无法解析 ${address} 的主机名（${code}）`,
        },
        fix: {
          en: `Correct the host in ${setting}, or the DNS of this machine.`,
          zh: `修正 ${setting} 中的主机名，或本机的 DNS。`,
        },
      };
    case 'ECONNREFUSED':
      return {
        detail: { en: `nothing listens at ${address} (${code})`, zh: `${address} 没有程序在监听（${code}）` },
        fix: {
          en: `Start the server, or correct the host and the port in ${setting}.`,
          zh: `启动该服务器，或修正 ${setting} 中的主机名和端口。`,
        },
      };
    case 'ETIMEDOUT':
    case 'timeout':
      return {
        detail: { en: `${address} did not answer in time`, zh: `${address} 响应超时` },
        fix: {
          en: `Check that the server runs, that DNS finds it and that no firewall blocks it. Correct the address or the scheme (with or without TLS) in ${setting} if it is wrong.`,
          zh: `检查服务器是否在运行、DNS 能否解析、防火墙是否拦截。如果 ${setting} 中的地址或协议（是否使用 TLS）不对，请修正。`,
        },
      };
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
    case 'closed':
      return {
        detail: {
          en: `${address} closed the connection without an answer`,
          zh: `${address} 没有响应就关闭了连接`,
        },
        fix: {
          en: `Check whether the server requires TLS. If it does, use ${withTls} in ${setting}.`,
          zh: `检查服务器是否要求 TLS。如果是，请在 ${setting} 中使用 ${withTls}。`,
        },
      };
  }
  if (CERTIFICATE_ERRORS.test(code)) {
    return {
      detail: {
        en: `the certificate of ${address} is not trusted (${code})`,
        zh: `${address} 的证书不受信任（${code}）`,
      },
      fix: {
        en: `Renew the certificate, or set NODE_EXTRA_CA_CERTS to the file of its CA. The certificate must cover the host in ${setting}, and be valid now by the clock of this machine.`,
        zh: `更新证书，或把 NODE_EXTRA_CA_CERTS 设为其 CA 的文件路径。证书必须包含 ${setting} 中的主机名，并且按本机时钟目前有效。`,
      },
    };
  }
  if (TLS_ERRORS.test(code)) {
    return {
      detail: {
        en: `the TLS handshake with ${address} failed (${code})`,
        zh: `与 ${address} 的 TLS 握手失败（${code}）`,
      },
      fix: {
        en: `Correct the scheme and the port in ${setting}. Either only one side uses TLS, or the TLS versions differ.`,
        zh: `修正 ${setting} 中的协议和端口。可能只有一方使用 TLS，或双方的 TLS 版本不一致。`,
      },
    };
  }
  return {
    detail: { en: `${address} cannot be reached (${code})`, zh: `无法连接 ${address}（${code}）` },
    fix: { en: `Correct ${setting}, or the network between.`, zh: `修正 ${setting}，或两者之间的网络。` },
  };
}
