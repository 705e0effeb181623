import type { Trouble } from './finding.ts';

interface Target {
  /** Host and port, or the URL without what may be secret in it. */
  readonly address: string;
  /** The setting that names it. */
  readonly setting: string;
}

const CERTIFICATE = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY)_|ERR_TLS_CERT_)/;
const NOT_TLS = /^(EPROTO$|ERR_SSL_|HPE_)/;

/** What the error code of a connection that failed means, for whoever has to mend it. */
export function networkTrouble(code: string, { address, setting }: Target): Trouble {
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return {
        detail: `the host of ${address} has no address (${code})`,
        mend: `correct the host in ${setting}, or this machine's DNS`,
      };
    case 'ECONNREFUSED':
      return {
        detail: `nothing listens at ${address} (${code})`,
        mend: `start it, or correct host and port in ${setting}`,
      };
    case 'ETIMEDOUT':
    case 'timeout':
      return {
        detail: `${address} did not answer in time`,
        mend: `see that it runs, that its name can be looked up and that no firewall is between; correct ${setting} if address or scheme (TLS or not) is wrong`,
      };
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
    case 'closed':
      return {
        detail: `${address} closed the connection without an answer`,
        mend: `see whether it wants TLS: the scheme in ${setting} must say so (https://, rediss://)`,
      };
    case 'unknown':
      return {
        detail: `${address} answers in a language that is not expected there`,
        mend: `correct host, port and scheme in ${setting}`,
      };
    default:
      return otherTrouble(code, { address, setting });
  }
}

function otherTrouble(code: string, { address, setting }: Target): Trouble {
  if (CERTIFICATE.test(code)) {
    return {
      detail: `the certificate of ${address} is not to be trusted (${code})`,
      mend: `have it renewed, or name the file of its own CA in NODE_EXTRA_CA_CERTS; the host in ${setting} must be one it is made out to`,
    };
  }
  if (NOT_TLS.test(code)) {
    return {
      detail: `${address} and this side do not agree on TLS (${code})`,
      mend: `correct scheme and port in ${setting}: one side speaks TLS and the other does not, or another version`,
    };
  }
  return { detail: `${address} cannot be reached (${code})`, mend: `correct ${setting}, or the network between` };
}
