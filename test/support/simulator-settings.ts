import type { CustomerCloud } from '../../src/simulator/customer-cloud.ts';
import { DEMO_APP } from '../../src/simulator/vendor-simulator.ts';

/** Settings of the app that the vendor simulator knows by default. */
export const DEMO_APP_SETTINGS = {
  VENDOR_APP_ID: DEMO_APP.appId,
  VENDOR_APP_TOKEN: DEMO_APP.appToken,
  VENDOR_APP_KEY: DEMO_APP.appKey,
};

/** Settings that connect a broker to a vendor simulator and to a simulated customer cloud. */
export function simulatorSettings(
  vendor: { readonly url: string },
  cloud: Pick<CustomerCloud, 'jwksUrl' | 'issuer' | 'audience'>,
) {
  return {
    VENDOR_BASE_URL: vendor.url,
    ...DEMO_APP_SETTINGS,
    SESSION_JWT_JWKS_URL: cloud.jwksUrl,
    SESSION_JWT_ISSUER: cloud.issuer,
    SESSION_JWT_AUDIENCE: cloud.audience,
  };
}
