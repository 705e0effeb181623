/** What a result code asks of the broker. */
export type ResultKind =
  | 'success'
  | 'clock_skew'
  | 'configuration'
  | 'request'
  | 'too_frequent'
  | 'maintenance'
  | 'account_closed'
  | 'unknown';

export const SUCCESS = 0;
const SIGNATURE_REFUSED = 10007;

/** Every code the protocol knows (protocol.md, "Result codes"). */
export const KNOWN_RESULTS: ReadonlyMap<number, ResultKind> = new Map<number, ResultKind>([
  [SUCCESS, 'success'],
  [SIGNATURE_REFUSED, 'configuration'],
  [10901050, 'configuration'],
  [10901051, 'configuration'],
  [10901052, 'configuration'],
  [10001, 'request'],
  [10003, 'request'],
  [10016, 'request'],
  [10017, 'request'],
  [10020, 'request'],
  [10015, 'too_frequent'],
  [10901072, 'too_frequent'],
  [10901073, 'too_frequent'],
  [10901060, 'maintenance'],
  [10902013, 'account_closed'],
]);

/** Reads a result (protocol.md, "Result codes"). 10007 tells its reasons apart by the end of `msg` alone. */
export function resultKind(code: number, msg: string): ResultKind {
  if (code === SIGNATURE_REFUSED && /:\s*-2\s*$/.test(msg)) return 'clock_skew';
  return KNOWN_RESULTS.get(code) ?? 'unknown';
}
