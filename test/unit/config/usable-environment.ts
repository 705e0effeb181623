import { loadConfig } from '../../../src/config/config.ts';
import { ConfigError, type Environment } from '../../../src/config/environment.ts';

/** The minimum that the service starts with. */
export const USABLE: Environment = {
  VENDOR_BASE_URL: 'https://vendor.example',
  VENDOR_APP_ID: 'app-1',
  VENDOR_APP_TOKEN: 'canary-app-token',
  VENDOR_APP_KEY: 'canary-app-key',
  SESSION_JWT_JWKS_URL: 'https://accounts.example/jwks.json',
  SESSION_JWT_ISSUER: 'https://accounts.example',
  SESSION_JWT_AUDIENCE: 'sdk-token-broker',
};

/** Returns the problems of the environment. The list is empty if it is valid. */
export function problemsOf(environment: Environment): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}
