import type { SessionOptions } from '../session/session-verifier.ts';
import { type Config, type RedisConfig, redisOf } from './config.ts';
import { type Environment, type Problems, readVariables } from './environment.ts';
import { sessionOf } from './session-config.ts';
import { type VendorConfig, vendorOf } from './vendor-config.ts';

/** A configuration taken apart: a part is there if none of its own settings is wrong. */
export interface ConfigParts {
  /** Every problem, in words that show no secret. */
  readonly problems: readonly string[];
  readonly vendor: VendorConfig | undefined;
  readonly session: SessionOptions | undefined;
  /** `redis` is undefined where tokens are to be kept in the process. */
  readonly store: { readonly redis: RedisConfig | undefined } | undefined;
  readonly publicAddress: Address | undefined;
  readonly admin: Config['admin'] | undefined;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Reads what can be read, for whoever looks at the parts one by one. Throws nothing. */
export function readConfigParts(environment: Environment): ConfigParts {
  const problems: Problems = new Map();
  const values = readVariables(environment, problems);
  const vendor = vendorOf(values, problems);
  const session = sessionOf(values, problems);
  const store = { redis: redisOf(values, problems) };
  const publicAddress = { host: values.HOST, port: values.PORT };
  const admin = { host: values.ADMIN_HOST, port: values.ADMIN_PORT, token: values.ADMIN_TOKEN };
  const sound = (settings: RegExp) => ![...problems.keys()].some((name) => settings.test(name));
  return {
    problems: [...problems.values()],
    vendor: sound(/^VENDOR_/) ? vendor : undefined,
    session: sound(/^SESSION_/) ? session : undefined,
    store: sound(/^(REDIS|TOKEN)_/) ? store : undefined,
    publicAddress: sound(/^(HOST|PORT)$/) ? publicAddress : undefined,
    admin: sound(/^ADMIN_/) ? admin : undefined,
  };
}
