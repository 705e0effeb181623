import { DEMO_APP } from '../../src/simulator/vendor-simulator.ts';

/**
 * An app of the simulated vendor. Unlike those of the demo, its secrets are not published, so production accepts them.
 */
export const VENDOR_APP = { ...DEMO_APP, appToken: 'token-of-the-tests', appKey: 'key-of-the-tests' };
