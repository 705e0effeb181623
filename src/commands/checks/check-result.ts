/** The result of one check, without secrets. */
export type CheckResult = { readonly level: 'ok'; readonly name: string; readonly detail: string } | FailedCheck;

interface FailedCheck extends Problem {
  /** `warn`: it works, but the operator should know. */
  readonly level: 'warn' | 'FAIL';
  readonly name: string;
}

export interface Problem {
  /** The problem, in a short sentence. */
  readonly detail: string;
  /** How to fix it: sentences in the imperative. */
  readonly fix: string;
}

export function ok(name: string, detail: string): CheckResult {
  return { level: 'ok', name, detail };
}

export function warn(name: string, problem: Problem): CheckResult {
  return { level: 'warn', name, ...problem };
}

export function fail(name: string, problem: Problem): CheckResult {
  return { level: 'FAIL', name, ...problem };
}

export interface Target {
  /** Host and port, or the URL without the parts that may be secret. */
  readonly address: string;
  /** The name of the setting that holds the address. */
  readonly setting: string;
}

const CERTIFICATE_ERRORS = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY)_|ERR_TLS_CERT_)/;
const TLS_ERRORS = /^(EPROTO$|ERR_SSL_|HPE_)/;

/** Explains a failed connection. @param code the error code of the operating system, Node or TLS */
export function networkProblem(code: string, { address, setting }: Target): Problem {
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return {
        detail: `DNS has no address for the host of ${address} (${code})`,
        fix: `Correct the host in ${setting}, or the DNS of this machine.`,
      };
    case 'ECONNREFUSED':
      return {
        detail: `nothing listens at ${address} (${code})`,
        fix: `Start the server, or correct the host and the port in ${setting}.`,
      };
    case 'ETIMEDOUT':
    case 'timeout':
      return {
        detail: `${address} did not answer in time`,
        fix: `Check that the server runs, that DNS finds it and that no firewall blocks it. Correct the address or the scheme (with or without TLS) in ${setting} if it is wrong.`,
      };
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
    case 'closed':
      return {
        detail: `${address} closed the connection without an answer`,
        fix: `Check whether the server requires TLS. If it does, use https:// or rediss:// in ${setting}.`,
      };
    case 'unknown':
      return {
        detail: `${address} answers with an unexpected protocol`,
        fix: `Correct the host, the port and the scheme in ${setting}.`,
      };
  }
  if (CERTIFICATE_ERRORS.test(code)) {
    return {
      detail: `the certificate of ${address} is not trusted (${code})`,
      fix: `Renew the certificate, or set NODE_EXTRA_CA_CERTS to the file of its CA. The certificate must cover the host in ${setting}.`,
    };
  }
  if (TLS_ERRORS.test(code)) {
    return {
      detail: `the TLS handshake with ${address} failed (${code})`,
      fix: `Correct the scheme and the port in ${setting}. Either only one side uses TLS, or the TLS versions differ.`,
    };
  }
  return { detail: `${address} cannot be reached (${code})`, fix: `Correct ${setting}, or the network between.` };
}
