import type { Exchange, Terminal, VendorLogin } from './history.ts';

/** Where a history breaks a rule. */
export interface BrokenRule {
  readonly what: string;
  readonly at: number;
  /** When the events began that show it. */
  readonly since: number;
  readonly account: string;
  readonly uniqueId?: string | undefined;
}

export function placeOf({ account, uniqueId, endedAt }: Exchange): Pick<BrokenRule, 'account' | 'uniqueId' | 'at'> {
  return { account, uniqueId, at: endedAt };
}

export function terminalOf({ account, uniqueId }: VendorLogin): Terminal {
  return { account, uniqueId };
}

export function outcomeOf({ status, code }: Exchange): string {
  return status === 0 ? 'the connection gave no answer' : `${status} ${code ?? ''}`;
}
