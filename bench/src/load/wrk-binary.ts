import { systemBinary } from '../../../test/support/system-binary.ts';

/** Where wrk is, installed now if it was not there and this user may. @throws Error that says what to do */
export function wrkBinary(): string {
  return systemBinary({ program: 'wrk', need: 'The bench makes its load with wrk' });
}
