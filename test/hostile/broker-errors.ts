import { BrokerError } from '../../src/token/errors.ts';

/** Accepts an error that an app may get. Throws every other one. */
export function asBrokerError(error: unknown): void {
  if (!(error instanceof BrokerError) || error.code === 'internal') throw error;
}
