import type { Account } from '../src/http/routes/accounts.ts';
import { byId, element, facts, idElement, isolated, update, withCode } from './elements.ts';
import type { Answer, Failure, InternalApi, Terminal } from './internal-api.ts';
import { isSendableInPath } from './sendable-input.ts';
import type { Writing } from './status-view.ts';
import type { Texts } from './texts-en.ts';

/** Longer than the time between the clicks of a double click. */
const CONFIRM_AFTER_MS = 500;

interface Options {
  readonly api: InternalApi;
  /** The language may change at any time. */
  readonly writing: () => Writing;
  /** Called when the broker does not accept the token. */
  readonly onUnauthorized: () => void;
}

interface Shown {
  readonly unionId: string;
  readonly account: Account;
  /** When the broker was asked, by its clock. */
  readonly at: string;
}

/** Something that the operator must confirm. */
interface Question {
  readonly title: string;
  readonly text: readonly (Node | string)[];
  readonly button: string;
  /** The text that the operator must type. */
  readonly retype?: string;
  readonly call: () => Promise<Answer<undefined>>;
  /** The account that the page shows after the call has succeeded. */
  readonly shown?: Shown;
  /** Says that the call has succeeded, in the current language. */
  readonly done: () => readonly (Node | string)[];
}

function isUnknown(found: Answer<Shown | undefined>): boolean {
  return found.kind === 'answer' ? found.value === undefined : found.kind === 'problem' && found.status === 404;
}

/** The panel that looks an account up, logs its terminals out and erases it. */
export class AccountView {
  readonly #options: Options;
  readonly #form = byId('lookup', HTMLFormElement);
  readonly #input = byId('lookup-id', HTMLInputElement);
  readonly #message = byId('lookup-message', HTMLElement);
  readonly #result = byId('lookup-result', HTMLElement);
  readonly #dialog = byId('confirm', HTMLDialogElement);
  readonly #retype = byId('confirm-retype', HTMLInputElement);
  readonly #act = byId('confirm-act', HTMLButtonElement);
  #enabling: ReturnType<typeof setTimeout> | undefined;
  #shown: Shown | undefined;
  #question: Question | undefined;
  /** How often the panel was cleared, as each look-up does: answers to earlier calls are ignored. */
  #clears = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#lookUp();
    });
    byId('confirm-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#confirm();
    });
    byId('confirm-cancel', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());
  }

  /** Writes the account again, in the current language. */
  render(): void {
    this.#result.replaceChildren(...(this.#shown ? this.#accountElements(this.#shown) : []));
  }

  /** Writes how long ago or ahead the times are by now. */
  tick(): void {
    for (const time of this.#result.querySelectorAll('time')) update(time, ...this.#momentTexts(time.dateTime));
  }

  #momentTexts(iso: string): readonly string[] {
    const { format, now } = this.#options.writing();
    // Each is a text of its own, so that the time stays selected while the rest changes.
    return [format.instant(iso), ' (', format.relative(iso, now), ')'];
  }

  #moment(iso: string): HTMLElement {
    const title = this.#options.writing().format.instant(iso);
    return element('time', { datetime: iso, title }, ...this.#momentTexts(iso));
  }

  /** Closes the dialog, forgets the account, and ignores the answers to running calls. The typed id stays. */
  clear(): void {
    this.#clears += 1;
    this.#takeInput(true);
    this.#dialog.close();
    this.#shown = undefined;
    this.#say('');
    this.render();
  }

  /** @returns whether the panel was not cleared since this call */
  #untilCleared(): () => boolean {
    const clears = this.#clears;
    return () => clears === this.#clears;
  }

  #takeInput(isTaken: boolean): void {
    for (const part of [this.#form, this.#result]) part.inert = !isTaken;
  }

  get #texts(): Texts {
    return this.#options.writing().texts;
  }

  async #lookUp(): Promise<void> {
    this.clear();
    const isCurrent = this.#untilCleared();
    const typed = this.#input.value;
    const by = new FormData(this.#form).get('by') === 'unionId' ? 'unionId' : 'accessId';
    const isSendable = (id: string) => by === 'accessId' || isSendableInPath(id);
    if (typed === '') return this.#refuse(this.#texts.idMissing);
    if (!isSendable(typed)) return this.#refuse(this.#texts.idUnsendable);
    this.#input.removeAttribute('aria-invalid');
    this.#say(this.#texts.lookingUp);
    let found = await this.#search(by, typed, isCurrent);
    const trimmed = typed.trim();
    // A blank at an end may belong to the id, or was copied with it.
    if (isCurrent() && isUnknown(found) && trimmed !== typed && trimmed !== '' && isSendable(trimmed)) {
      found = await this.#search(by, trimmed, isCurrent);
    }
    if (!isCurrent()) return;
    this.#shown = found.kind === 'answer' ? found.value : undefined;
    this.render();
    if (this.#failed(found)) return;
    this.#say(this.#shown ? this.#texts.found(this.#shown.account.terminals.length) : this.#texts.unknownAccount);
  }

  #refuse(text: string): void {
    this.#input.setAttribute('aria-invalid', 'true');
    this.#say(text);
    this.#input.focus();
  }

  /** @returns without a value if the broker does not know the accessId */
  async #search(by: 'unionId' | 'accessId', id: string, isCurrent: () => boolean): Promise<Answer<Shown | undefined>> {
    if (by === 'unionId') return this.#find(id);
    const answer = await this.#options.api.lookUp(id);
    if (answer.kind !== 'answer') return answer;
    const unionId = Object.hasOwn(answer.value, id) ? answer.value[id] : undefined;
    return unionId === undefined || !isCurrent() ? { kind: 'answer', value: undefined } : this.#find(unionId);
  }

  async #find(unionId: string): Promise<Answer<Shown>> {
    const answer = await this.#options.api.account(unionId);
    if (answer.kind !== 'answer') return answer;
    const at = new Date(this.#options.writing().now).toISOString();
    return { kind: 'answer', value: { unionId, account: answer.value, at } };
  }

  /** Says why a call failed. */
  #explain(failure: Failure): undefined {
    const { texts, format } = this.#options.writing();
    switch (failure.kind) {
      case 'unauthorized':
        this.#options.onUnauthorized();
        return undefined;
      case 'limited':
        return this.#say(texts.tooMany(format.duration(failure.waitMs)));
      case 'unreachable':
        return this.#say(texts.unreachable);
      case 'foreign':
        return this.#say(texts.foreign);
      case 'problem': {
        const { status, title, code, detail, requestId } = failure;
        if (status !== 404) return this.#say(texts.problem(title, code, requestId));
        return this.#say(detail === undefined ? texts.unknownAccount : texts.unknownAccountBecause(detail));
      }
    }
  }

  #say(...text: readonly (Node | string)[]): undefined {
    update(this.#message, ...text);
  }

  #accountElements(shown: Shown): HTMLElement[] {
    const { texts, format } = this.#options.writing();
    const { unionId, account, at } = shown;
    const { accessId, region, coolDown, terminalLimit } = account;
    const terminals = account.terminals.toSorted((one, other) => Date.parse(one.issuedAt) - Date.parse(other.issuedAt));
    const erase = element('button', { type: 'button', class: 'danger' }, texts.erase);
    erase.addEventListener('click', () => this.#askErase(unionId));
    const summary = facts([
      [texts.unionId, idElement(unionId)],
      [texts.accessId, idElement(accessId)],
      [texts.region, region],
      [
        texts.coolDown,
        coolDown ? texts.coolDownUntil(format.clock(Date.parse(coolDown.until)), coolDown.code) : texts.noCoolDown,
      ],
      [texts.lookedUp, this.#moment(at)],
    ]);
    const list =
      terminals.length > 0
        ? element('ul', { class: 'terminals' }, ...terminals.map((terminal) => this.#terminalElement(shown, terminal)))
        : element('p', { class: 'muted' }, texts.noTerminals);
    const used = element('p', {}, texts.terminalsUsed(format.number(terminals.length), format.number(terminalLimit)));
    const full = terminals.length < terminalLimit ? [] : [element('p', {}, ...withCode(texts.terminalsFull))];
    return [summary, element('h3', {}, texts.terminals), used, ...full, list, erase];
  }

  #terminalElement(shown: Shown, terminal: Terminal): HTMLElement {
    const { texts } = this.#options.writing();
    const button = element('button', { type: 'button', 'aria-label': texts.logOutOf(terminal.uniqueId) }, texts.logOut);
    button.addEventListener('click', () => this.#askLogOut(shown, terminal));
    const title = element(
      'h4',
      {},
      idElement(terminal.uniqueId),
      ' ',
      element('span', { class: 'detail' }, terminal.app),
    );
    const times = facts([
      [texts.issued, this.#moment(terminal.issuedAt)],
      [texts.renewalDue, this.#moment(terminal.refreshAt)],
      [texts.expires, this.#moment(terminal.expiresAt)],
      [texts.readState, terminal.readSinceRefresh ? texts.yes : texts.no],
    ]);
    return element('li', {}, element('div', { class: 'row' }, title, button), times);
  }

  #askLogOut({ unionId, account, at }: Shown, terminal: Terminal): void {
    const { confirmLogOut, confirmLogOutText, confirmLogOutButton } = this.#texts;
    const terminals = account.terminals.filter((other) => other !== terminal);
    this.#ask({
      title: confirmLogOut,
      text: isolated(confirmLogOutText, terminal.uniqueId),
      button: confirmLogOutButton,
      call: () => this.#options.api.logOut(unionId, terminal),
      shown: { unionId, account: { ...account, terminals }, at },
      done: () => isolated(this.#texts.loggedOut, terminal.uniqueId),
    });
  }

  #askErase(unionId: string): void {
    const { confirmErase, confirmEraseText, confirmEraseButton } = this.#texts;
    this.#ask({
      title: confirmErase,
      text: [confirmEraseText],
      button: confirmEraseButton,
      retype: unionId,
      call: () => this.#options.api.erase(unionId),
      done: () => [this.#texts.erased],
    });
  }

  #failed(answer: Answer<unknown>): boolean {
    if (answer.kind === 'answer') return false;
    this.#explain(answer);
    return true;
  }

  #ask(question: Question): void {
    this.#question = question;
    byId('confirm-title', HTMLElement).textContent = question.title;
    byId('confirm-text', HTMLElement).replaceChildren(...question.text);
    this.#act.textContent = question.button;
    // The second click of a double click on the button that asks must not confirm.
    this.#act.style.pointerEvents = 'none';
    clearTimeout(this.#enabling);
    this.#enabling = setTimeout(() => {
      this.#act.style.pointerEvents = '';
    }, CONFIRM_AFTER_MS);
    byId('confirm-error', HTMLElement).textContent = '';
    byId('confirm-retype-row', HTMLElement).hidden = question.retype === undefined;
    byId('confirm-id', HTMLElement).textContent = question.retype ?? '';
    this.#retype.value = '';
    this.#retype.removeAttribute('aria-invalid');
    this.#dialog.showModal();
  }

  async #confirm(): Promise<void> {
    const question = this.#question;
    if (!question) return;
    if (question.retype !== undefined && this.#retype.value !== question.retype) {
      this.#retype.setAttribute('aria-invalid', 'true');
      update(byId('confirm-error', HTMLElement), this.#texts.retypeWrong);
      this.#retype.focus();
      return;
    }
    this.#question = undefined;
    this.#dialog.close();
    const isCurrent = this.#untilCleared();
    // The operator sees the result before looking anything else up.
    this.#takeInput(false);
    const answer = await question.call();
    if (!isCurrent()) return;
    this.#takeInput(true);
    // After a failure, the broker may have acted or not.
    this.#shown = answer.kind === 'answer' ? question.shown : undefined;
    this.render();
    if (!this.#failed(answer)) this.#say(...question.done());
    // The button that opened the dialog is gone.
    if (document.activeElement === document.body) this.#input.focus();
  }
}
