import { grouped } from './facts.ts';
import type { Finding } from './judge.ts';
import type { Exchange, Fault, Recording, VendorLogin } from './recording.ts';

const AROUND_MS = 2_000;
const MOST_EVENTS = 40;
const MOST_PER_RULE = 3;

/** One text per rule that was broken: how often, and the first findings with the events around them. */
export function reportFindings(recording: Recording, findings: readonly Finding[]): string[] {
  const rules = grouped(findings, ({ rule }) => rule);
  return [...rules].map(([rule, ofRule]) => {
    const firsts = firstOfEachTerminal(ofRule).slice(0, MOST_PER_RULE);
    return [headline(rule, ofRule), ...firsts.map((finding) => describe(recording, finding))].join('\n');
  });
}

function headline(rule: string, findings: readonly Finding[]): string {
  return `BROKEN: ${rule} (${findings.length} times, ${firstOfEachTerminal(findings).length} terminals)`;
}

/** A token that should not be served is read many times. The first time tells the most. */
function firstOfEachTerminal(findings: readonly Finding[]): Finding[] {
  const byTerminal = grouped(findings, ({ account, uniqueId }) => `${account} ${uniqueId}`);
  return [...byTerminal.values()].flatMap((ofTerminal) => ofTerminal.slice(0, 1));
}

function describe(recording: Recording, finding: Finding): string {
  const { account, uniqueId, at, since, what } = finding;
  const [from, until] = [since - AROUND_MS, at + AROUND_MS];
  const isOfTerminal = (event: { readonly account: string; readonly uniqueId?: string }) =>
    event.account === account &&
    (event.uniqueId === undefined || uniqueId === undefined || event.uniqueId === uniqueId);
  const exchanges = recording.exchanges
    .filter((exchange) => isOfTerminal(exchange) && exchange.endedAt >= from && exchange.sentAt <= until)
    .toSorted((one, other) => one.sentAt - other.sentAt);
  const events = [
    ...recording.faults.filter((fault) => fault.from <= until && fault.until >= from).map(faultLine),
    ...withoutRepetitions(exchanges).map(exchangeLine),
    ...recording.logins
      .filter((login) => isOfTerminal(login) && login.answeredAt >= from && login.receivedAt <= until)
      .map(loginLine),
  ].toSorted((one, other) => one.at - other.at);
  const shown = events.slice(-MOST_EVENTS).map(({ text }) => `    ${text}`);
  const place = [account, uniqueId].filter((name) => name !== undefined).join(' ');
  const title = `  ${seconds(at)} ${place}: ${what}`;
  return [title, ...shown].join('\n');
}

/** Leaves out reads with the same session and outcome as the last one at the same replica. */
function withoutRepetitions(exchanges: readonly Exchange[]): Exchange[] {
  const last = new Map<string, string>();
  return exchanges.filter(({ kind, uniqueId, replica, sessionIssuedAt, status, code, token }) => {
    if (kind !== 'read' && kind !== 'account') return true;
    const reader = JSON.stringify([kind, uniqueId, replica, sessionIssuedAt]);
    const outcome = JSON.stringify([status, code, token]);
    const isRepetition = last.get(reader) === outcome;
    last.set(reader, outcome);
    return !isRepetition;
  });
}

interface Line {
  readonly at: number;
  readonly text: string;
}

function faultLine({ kind, replica, from, until, description }: Fault): Line {
  const where = replica === undefined ? '' : ` of replica ${replica}`;
  return { at: from, text: `${seconds(from)} – ${seconds(until)} FAULT ${kind}${where}: ${description}` };
}

function exchangeLine(exchange: Exchange): Line {
  const { kind, uniqueId, replica, sentAt, endedAt, status, code, token, reported, sessionIssuedAt } = exchange;
  const parts = [
    `${seconds(sentAt)} – ${seconds(endedAt)} ${kind} at replica ${replica}`,
    uniqueId ?? '',
    sessionIssuedAt === undefined ? '' : `session of ${seconds(sessionIssuedAt)}`,
    reported === undefined ? '' : `reports ${short(reported)}`,
    `→ ${status === 0 ? 'no answer' : status}`,
    code ?? '',
    token === undefined ? '' : short(token),
  ];
  return { at: sentAt, text: parts.filter((part) => part !== '').join(' ') };
}

function loginLine({ uniqueId, receivedAt, answeredAt, token, deliveredAt }: VendorLogin): Line {
  const outcome = token === undefined ? 'failed' : short(token);
  const lost = token !== undefined && deliveredAt === Number.POSITIVE_INFINITY ? ', the answer was lost' : '';
  return {
    at: receivedAt,
    text: `${seconds(receivedAt)} – ${seconds(answeredAt)} LOGIN ${uniqueId} → ${outcome}${lost}`,
  };
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(3)} s`;
}

/** Enough to tell tokens apart. */
function short(token: string): string {
  return `token ${token.slice(0, 9)}`;
}
