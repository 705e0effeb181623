import type { StatusReport } from '../src/http/status-report.ts';
import { AccountView } from './account-view.ts';
import { DemoView } from './demo-view.ts';
import { byId, element, setText, withCode } from './elements.ts';
import { type Finding, findingsOf, type Level, RULES } from './findings.ts';
import { Format, type Language, preferredLanguage } from './format.ts';
import { type Answer, type Failure, InternalApi } from './internal-api.ts';
import { plainCall, SealedCalls } from './sealed-calls.ts';
import { isSendable } from './sendable-input.ts';
import { showStatus, type Writing } from './status-view.ts';
import { EN, type Texts } from './texts-en.ts';
import { ZH } from './texts-zh.ts';

const TEXTS: Readonly<Record<Language, Texts>> = { en: EN, zh: ZH };
const LANGUAGE_KEY = 'sdk-token-broker.language';
const IS_DEMO = 'demo' in document.documentElement.dataset;
const POLL_MS = IS_DEMO ? 1_000 : 5_000;
/** Older data are marked as old. */
const STALE_MS = POLL_MS + 10_000;

const sealed = new SealedCalls(document.documentElement.dataset['broker'] ?? '');
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
  accounts.render();
  demo?.render();
  render();
}

function render(): void {
  if (status) {
    const { report } = status;
    byId('replica', HTMLElement).textContent = `${report.replica} · ${texts().version} ${report.version}`;
    showStatus(report, writing());
  }
  renderVerdict();
  renderAge();
}

interface Verdict {
  readonly level: Level;
  readonly text: string;
  readonly next: string;
  readonly runbook?: string | undefined;
  /** The other findings. */
  readonly also?: readonly string[];
  /** Facts that the verdict does not know. */
  readonly limits?: string;
}

function verdict(): Verdict {
  const { allFine, otherReplicas, noTokens, noTokensNext, loading } = texts();
  if (failure) return failureVerdict(failure);
  if (!status) return { level: 'ok', text: loading, next: '' };
  const { report } = status;
  const [first, ...others] = findingsOf(report);
  if (first) {
    const also = others.map((finding) => sentences(finding).text);
    return { ...RULES[first.kind], ...sentences(first), also };
  }
  if (report.schedule?.total === 0) return { level: 'ok', text: noTokens, next: noTokensNext };
  return { level: 'ok', text: allFine, next: '', limits: `${lastLogin(report)} ${otherReplicas}` };
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
  const { noAnswer, noAnswerYet, noAnswerNext, noAnswerStatus, closing, closingNext, foreign, foreignNext } = texts();
  if (failed.kind === 'foreign') return { level: 'bad', text: foreign, next: foreignNext };
  if (failed.kind === 'problem' && failed.code === 'shutting_down') {
    return { level: 'warn', text: closing, next: closingNext };
  }
  const lead = status ? noAnswer(format.clock(Date.parse(status.report.at))) : noAnswerYet;
  const detail = failed.kind === 'problem' ? ` ${noAnswerStatus(failed.status, failed.requestId)}` : '';
  return { level: 'bad', text: lead + detail, next: noAnswerNext, runbook: 'SdkTokenBrokerReplicaDown' };
}

function sentences(finding: Finding): { readonly text: string; readonly next: string } {
  const { now } = writing();
  // TypeScript cannot relate the kind of a finding to the function for this kind.
  const write = texts().findings[finding.kind] as (
    one: Finding,
    format: Format,
    now: number,
  ) => { text: string; next: string };
  return write(finding, format, now);
}

function renderVerdict(): void {
  const { level, text, next, runbook, also = [], limits } = verdict();
  byId('verdict', HTMLElement).dataset['level'] = level;
  setText(byId('verdict-text', HTMLElement), ...withCode(text));
  const { nextStep, runbook: runbookLabel, runbookAt, also: alsoLabel } = texts();
  const details = [
    ...(next ? [element('p', {}, element('b', {}, `${nextStep}: `), ...withCode(next))] : []),
    ...(runbook
      ? [element('p', {}, element('b', {}, `${runbookLabel}: `), element('code', {}, runbookAt(runbook)))]
      : []),
    ...also.map((one) => element('p', {}, element('b', {}, `${alsoLabel}: `), ...withCode(one))),
    ...(limits ? [element('p', { class: 'muted' }, limits)] : []),
  ];
  byId('verdict-details', HTMLElement).replaceChildren(...details);
}

function renderAge(): void {
  if (!status) return;
  const ms = performance.now() - status.receivedAt;
  byId('age', HTMLElement).textContent = texts().asOf(format.duration(ms));
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
  setText(byId('token-error', HTMLElement), message);
  input.toggleAttribute('aria-invalid', false);
  if (message !== '') input.setAttribute('aria-invalid', 'true');
  if (wasHidden || message !== '') input.focus();
}

function showContent(): void {
  const hadForm = !form.hidden;
  form.hidden = true;
  main.hidden = false;
  byId('forget', HTMLElement).hidden = IS_DEMO;
  setText(byId('token-error', HTMLElement), '');
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
      const { text, next } = failureVerdict(answer);
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
