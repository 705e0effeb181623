import type { StatusReport } from '../src/http/routes/status.ts';
import { AccountView } from './account-view.ts';
import { DemoView } from './demo-view.ts';
import { byId, element, update, withCode } from './elements.ts';
import type { Finding } from './findings-en.ts';
import { Format, type Language, preferredLanguage } from './format.ts';
import { type Answer, type Failure, InternalApi } from './internal-api.ts';
import { plainCall, SealedCalls } from './sealed-calls.ts';
import { isSendable } from './sendable-input.ts';
import { endsMatter, failingNow, showStatus, type Writing } from './status-view.ts';
import { EN, type Texts } from './texts-en.ts';
import { ZH } from './texts-zh.ts';

const TEXTS: Readonly<Record<Language, Texts>> = { en: EN, zh: ZH };
const LANGUAGE_KEY = 'sdk-token-broker.language';
const IS_DEMO = 'demo' in document.documentElement.dataset;
const POLL_MS = IS_DEMO ? 1_000 : 5_000;
/** Older data are marked as old. */
const STALE_MS = POLL_MS + 10_000;

/** The public key of the process. */
const BROKER = document.documentElement.dataset['broker'] ?? '';
const sealed = new SealedCalls(BROKER);
const api = new InternalApi(IS_DEMO ? plainCall : (call) => sealed.send(call));
const form = byId('ask', HTMLFormElement);
const input = byId('token', HTMLInputElement);
const main = byId('content', HTMLElement);

let format = new Format(savedLanguage());
let status: { readonly report: StatusReport; readonly receivedAt: number } | undefined;
/** Why the last question failed; `undefined` if it was answered. */
let failure: Failure | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
/** Raised with each session. Answers to questions of an earlier one are ignored. */
let sessionNumber = 0;
/** The number of the session of the running question. */
let asking: number | undefined;

const accounts = new AccountView({ api, writing, onUnauthorized: () => askForToken(texts().tokenEnded) });
const demo = IS_DEMO ? new DemoView(api, writing) : undefined;

function texts(): Texts {
  return TEXTS[format.language];
}

/** The broker's clock decides, because the clock of the browser may be wrong. */
function writing(): Writing {
  const age = status ? performance.now() - status.receivedAt : 0;
  return { texts: texts(), format, now: status ? Date.parse(status.report.at) + age : 0 };
}

function savedLanguage(): Language {
  try {
    const saved = sessionStorage.getItem(LANGUAGE_KEY);
    if (saved === 'en' || saved === 'zh') return saved;
  } catch {
    // The browser forbids storage.
  }
  return preferredLanguage(navigator.languages);
}

function useLanguage(language: Language): void {
  format = new Format(language);
  try {
    sessionStorage.setItem(LANGUAGE_KEY, language);
  } catch {
    // The choice lasts until a reload.
  }
  renderAll();
}

function renderAll(): void {
  const { language } = format;
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  document.title = texts().title;
  const all = texts() as unknown as Readonly<Record<string, unknown>>;
  for (const target of document.querySelectorAll<HTMLElement>('[data-text]')) {
    const path = (target.dataset['text'] ?? '').split('.');
    const text = path.reduce<unknown>((from, key) => (from as Record<string, unknown>)?.[key], all);
    target.textContent = String(text);
  }
  for (const button of document.querySelectorAll<HTMLButtonElement>('[data-language]')) {
    button.setAttribute('aria-pressed', String(button.dataset['language'] === language));
  }
  const link = runbookLink('a-user-cannot-log-in', texts().lookupRunbook);
  byId('lookup-runbook', HTMLElement).replaceChildren(link);
  accounts.render();
  demo?.render();
  render();
}

function render(): void {
  if (status) {
    const { report } = status;
    update(byId('replica', HTMLElement), `${report.replica} · ${texts().version} ${report.version}`);
    showStatus(report, writing());
  }
  // Something else would answer.
  byId('lookup-runbook', HTMLElement).hidden = failure?.kind === 'foreign';
  renderVerdict();
  renderAge();
}

interface Verdict {
  readonly level: 'ok' | Finding['level'];
  readonly text: string;
  readonly details: readonly (HTMLElement | undefined)[];
}

/** Says the findings of the broker. The page finds nothing by itself. */
function verdict(): Verdict {
  const { allFine, noTokens, noTokensNext, loading } = texts();
  if (failure) return failureVerdict(failure);
  if (!status) return { level: 'ok', text: loading, details: [] };
  const { report } = status;
  const [first, ...others] = report.findings;
  if (first) {
    const errors = report.findings.find(({ code }) => code === 'reads_fail');
    // Apps first, then why.
    const lead =
      errors && errors !== first && first.code !== 'accounts_closed'
        ? texts().appsGetErrors(shareOf(errors))
        : undefined;
    const { text, kept } = sentences(first);
    const details = [firstEndOf(report), ...findingDetails(first), ...others.map(otherFinding)];
    const isEnding = report.firstEndAt !== null && Date.parse(report.firstEndAt) <= writing().now;
    const isKept = !errors && !isEnding && report.schedule?.total !== 0;
    return { level: first.level, text: joined(lead, text, isKept ? kept : undefined), details };
  }
  const failing = failingNow(report, texts());
  if (failing) return { level: 'warn', text: failing, details: [] };
  if (report.schedule?.total === 0) return { level: 'ok', text: noTokens, details: [element('p', {}, noTokensNext)] };
  return { level: 'ok', text: allFine, details: [muted(lastLogin(report))] };
}

function joined(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(format.language === 'zh' ? '' : ' ');
}

function shareOf({ share }: Finding): string {
  return share === undefined ? '' : format.percent(share);
}

/** While no new token comes from the vendor: until when the ones in use last. */
function firstEndOf(report: StatusReport): HTMLElement | undefined {
  const hasTokens = report.schedule?.total !== 0 || report.firstEndAt !== null;
  return endsMatter(report) && hasTokens ? element('p', { class: 'first-end' }, firstEndText(report)) : undefined;
}

function firstEndText({ firstEndAt: at }: StatusReport): string {
  const { firstEnd, firstEnded, firstEndUnknown } = texts();
  if (at === null) return firstEndUnknown;
  const { now } = writing();
  return Date.parse(at) > now ? firstEnd(format.relative(at, now), format.since(at, now)) : firstEnded;
}

function findingDetails(finding: Finding): HTMLElement[] {
  const { since, replicas, code, runbook } = finding;
  const { foundSince, seenBy, runbookOf } = texts();
  const { next: demoNext } = texts().demo;
  const { now } = writing();
  const { text, next } = sentences(finding);
  const times = foundSince(format.since(since, now), format.relative(since, now));
  // A replica that the sentence names is not named twice.
  const isNamed = replicas?.every((name) => text.includes(name)) ?? true;
  const link = runbookLink(runbook.split('#')[1] ?? '', runbookOf(code));
  const seen = isNamed ? '' : ` ${seenBy(replicas?.join(', ') ?? '')}`;
  return [nextStep(IS_DEMO ? demoNext : next), element('p', { class: 'muted' }, `${times}${seen} `, link)];
}

function otherFinding(finding: Finding): HTMLElement {
  const title = element('p', {}, element('b', {}, `${texts().also}: `), ...withCode(sentences(finding).text));
  // In the demo, the next step of all is the same.
  return element('div', { class: 'also' }, title, ...findingDetails(finding).slice(IS_DEMO ? 1 : 0));
}

function sentences(finding: Finding): { readonly text: string; readonly kept?: string; readonly next: string } {
  const { findings, onlyDifferent } = texts();
  const written = findings[finding.code](finding, format);
  return finding.onlyDifferent
    ? { ...written, text: onlyDifferent(finding.replicas?.join(', ') ?? '') + written.text }
    : written;
}

function nextStep(next: string): HTMLElement {
  return element('p', {}, element('b', {}, `${texts().nextStep}: `), ...withCode(next));
}

function muted(text: string): HTMLElement {
  return element('p', { class: 'muted' }, text);
}

/** The broker serves the runbooks, also in Chinese with the anchors of the English ones. */
function runbookLink(anchor: string, text: string): HTMLElement {
  const href = `console/runbooks/${format.language}?broker=${BROKER}#${anchor}`;
  return element('a', { href, target: '_blank', rel: 'noopener' }, text);
}

/** Says when this replica last logged in at the vendor. */
function lastLogin({ vendorDomains }: StatusReport): string {
  const newest = vendorDomains
    .flatMap(({ lastSuccessAt }) => lastSuccessAt ?? [])
    .toSorted()
    .at(-1);
  return newest === undefined ? texts().noLogin : texts().lastLogin(format.relative(newest, writing().now));
}

function failureVerdict(failed: Failure): Verdict {
  const { text, next } = failureTexts(failed);
  const isClosing = failed.kind === 'problem' && failed.code === 'shutting_down';
  return { level: isClosing ? 'warn' : 'critical', text, details: [nextStep(next)] };
}

function failureTexts(failed: Failure): { readonly text: string; readonly next: string } {
  const { noAnswer, noAnswerYet, noAnswerNext, noAnswerStatus, closing, closingNext, foreign, foreignNext } = texts();
  if (failed.kind === 'foreign') return { text: foreign, next: foreignNext };
  if (failed.kind === 'problem' && failed.code === 'shutting_down') return { text: closing, next: closingNext };
  const lead = status ? noAnswer(format.clock(Date.parse(status.report.at))) : noAnswerYet;
  const detail = failed.kind === 'problem' ? ` ${noAnswerStatus(failed.status, failed.requestId)}` : '';
  return { text: lead + detail, next: noAnswerNext };
}

function renderVerdict(): void {
  const { level, text, details } = verdict();
  byId('verdict', HTMLElement).dataset['level'] = level;
  update(byId('verdict-text', HTMLElement), ...withCode(text));
  const target = byId('verdict-details', HTMLElement);
  const focused = target.contains(document.activeElement) ? document.activeElement?.textContent : undefined;
  update(target, ...details);
  // The keyboard stays on the link to a runbook.
  for (const link of target.querySelectorAll('a')) if (link.textContent === focused) link.focus();
}

function renderAge(): void {
  if (!status) return;
  const ms = performance.now() - status.receivedAt;
  update(byId('age', HTMLElement), texts().asOf(format.duration(ms)));
  main.classList.toggle('stale', ms > STALE_MS);
}

/** Shows the form. Input elsewhere stays. */
function askForToken(message: string): void {
  clearTimeout(timer);
  const wasHidden = form.hidden;
  sealed.forget();
  sessionNumber += 1;
  accounts.clear();
  form.hidden = false;
  main.hidden = true;
  byId('forget', HTMLElement).hidden = true;
  update(byId('token-error', HTMLElement), message);
  input.toggleAttribute('aria-invalid', false);
  if (message !== '') input.setAttribute('aria-invalid', 'true');
  if (wasHidden || message !== '') input.focus();
}

function showContent(): void {
  const hadForm = !form.hidden;
  form.hidden = true;
  main.hidden = false;
  byId('forget', HTMLElement).hidden = IS_DEMO;
  update(byId('token-error', HTMLElement), '');
  if (!hadForm) return;
  input.value = '';
  byId('verdict', HTMLElement).focus();
}

/** The token goes to the process that served the page, once. */
async function signIn(token: string): Promise<void> {
  clearTimeout(timer);
  sessionNumber += 1;
  const number = sessionNumber;
  const answer = await api.signIn(token);
  if (number !== sessionNumber) return;
  const { tokenWrong, tooManyWrong } = texts();
  switch (answer.kind) {
    case 'answer':
      return showAnswer(answer);
    case 'unauthorized':
      return askForToken(tokenWrong);
    case 'limited':
      return askForToken(tooManyWrong(format.duration(answer.waitMs)));
    default: {
      if (answer.kind === 'foreign') input.value = '';
      const { text, next } = failureTexts(answer);
      return askForToken(`${text} ${next}`);
    }
  }
}

async function poll(): Promise<void> {
  if (asking === sessionNumber) return;
  const number = sessionNumber;
  asking = number;
  clearTimeout(timer);
  const answer = await api.status();
  if (number !== sessionNumber) return;
  asking = undefined;
  if (answer.kind === 'unauthorized') return askForToken(texts().tokenEnded);
  showAnswer(answer);
}

function showAnswer(answer: Answer<StatusReport>): void {
  if (answer.kind === 'answer') status = { report: answer.value, receivedAt: performance.now() };
  failure = answer.kind === 'answer' ? undefined : answer;
  showContent();
  render();
  if (document.visibilityState === 'visible') timer = setTimeout(() => void poll(), POLL_MS);
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const typed = input.value.trim();
  if (typed === '') return askForToken(texts().tokenMissing);
  if (!isSendable(typed)) return askForToken(texts().tokenCharacters);
  void signIn(typed);
});
byId('token-show', HTMLInputElement).addEventListener('change', (event) => {
  input.type = (event.target as HTMLInputElement).checked ? 'text' : 'password';
});
byId('forget', HTMLButtonElement).addEventListener('click', () => {
  status = undefined;
  askForToken('');
});
for (const button of document.querySelectorAll<HTMLButtonElement>('[data-language]')) {
  button.addEventListener('click', () => useLanguage(button.dataset['language'] === 'zh' ? 'zh' : 'en'));
}
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') clearTimeout(timer);
  else if (!main.hidden) void poll();
});
setInterval(() => {
  if (main.hidden || document.visibilityState === 'hidden') return;
  renderAge();
  accounts.tick();
}, 1_000);

renderAll();
if (IS_DEMO) {
  showContent();
  void poll();
} else {
  byId('token-row', HTMLElement).hidden = !isSecureContext;
  askForToken(isSecureContext ? '' : texts().insecure);
}
demo?.start();
