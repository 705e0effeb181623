import { byId, element, update } from './elements.ts';
import type { InternalApi } from './internal-api.ts';
import type { Writing } from './status-view.ts';

/** The answer to `GET /demo/state`. Times are epoch ms. */
export interface DemoState {
  readonly now: number;
  readonly unionId: string;
  readonly fault: string;
  readonly token: { readonly issuedAt: number; readonly refreshAt: number; readonly expiresAt: number } | null;
  /** In the order in which they ended. */
  readonly events: readonly DemoEvent[];
}

export type DemoEvent =
  | {
      readonly kind: 'read';
      readonly id: number;
      readonly at: number;
      readonly durationMs: number;
      /** The beginning and the end of the token, or an error code. */
      readonly token?: string;
      readonly code?: string;
    }
  | {
      readonly kind: 'login';
      readonly id: number;
      readonly at: number;
      readonly durationMs: number;
      /** `success`, a result code of the vendor, or the fault. */
      readonly result: string | number;
      /** No app was waiting. */
      readonly isBackground: boolean;
    };

const STATE_MS = 500;
const READ_MS = 3_000;
const ARROW_MS = 900;
const SHOWN_EVENTS = 8;

/** The demo's panel: the flow as it happens, and switches that break the vendor. */
export class DemoView {
  readonly #api: InternalApi;
  readonly #writing: () => Writing;
  readonly #asks = byId('demo-asks', HTMLInputElement);
  readonly #switches = byId('demo-switches', HTMLElement);
  #state: DemoState | undefined;
  #lastEvent = 0;
  #isReading = false;
  /** How many switches of the vendor wait for their answer. */
  #switching = 0;
  /** Each switch is sent when the one before it was answered, so that the last one decides. */
  #lastSwitch: Promise<unknown> = Promise.resolve();
  /** How often the state was asked for, and the number of the last question whose answer is too old to be shown. */
  #asked = 0;
  #outdated = 0;

  constructor(api: InternalApi, writing: () => Writing) {
    this.#api = api;
    this.#writing = writing;
    byId('demo', HTMLElement).hidden = false;
    byId('demo-ask', HTMLButtonElement).addEventListener('click', () => void this.#read());
    this.#switches.addEventListener('change', (event) => {
      if (event.target instanceof HTMLInputElement) void this.#breakVendor(event.target.value);
    });
  }

  start(): void {
    const whileVisible = (act: () => Promise<void>) => () => {
      if (document.visibilityState === 'visible') void act();
    };
    setInterval(
      whileVisible(() => this.#refresh()),
      STATE_MS,
    );
    setInterval(
      whileVisible(async () => {
        if (this.#asks.checked) await this.#read();
      }),
      READ_MS,
    );
    void this.#refresh();
  }

  /** Writes everything again, in the current language. */
  render(): void {
    const { texts } = this.#writing();
    const faults = Object.entries(texts.demo.faults);
    const chosen = this.#state?.fault ?? 'none';
    const radios = faults.map(([fault, label]) =>
      element(
        'label',
        {},
        element('input', { type: 'radio', name: 'fault', value: fault, checked: fault === chosen }),
        label,
      ),
    );
    this.#switches.replaceChildren(element('legend', {}, texts.demo.switches), ...radios);
    this.#show();
  }

  async #refresh(): Promise<void> {
    this.#asked += 1;
    const number = this.#asked;
    const answer = await this.#api.ask<DemoState>('GET', 'demo/state');
    if (answer.kind !== 'answer') return;
    // This may be the state before a switch, or an older one than the page shows.
    if (this.#switching > 0 || number <= this.#outdated) return;
    this.#outdated = number;
    const isFirst = this.#state === undefined;
    this.#state = answer.value;
    const fresh = answer.value.events.filter(({ id }) => id > this.#lastEvent);
    this.#lastEvent = answer.value.events.at(-1)?.id ?? 0;
    if (!isFirst) for (const event of fresh) this.#animate(event);
    this.#show();
  }

  async #read(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    await this.#api.ask('POST', 'demo/read', {});
    this.#isReading = false;
    await this.#refresh();
  }

  async #breakVendor(fault: string): Promise<void> {
    if (this.#state) this.#state = { ...this.#state, fault };
    this.#switching += 1;
    const switching = this.#lastSwitch.then(() => this.#api.ask('POST', 'demo/vendor', { fault }));
    this.#lastSwitch = switching;
    const answer = await switching;
    this.#switching -= 1;
    this.#outdated = this.#asked;
    if (answer.kind !== 'answer') return;
    const { texts } = this.#writing();
    const label = texts.demo.faults[fault as keyof typeof texts.demo.faults];
    update(byId('demo-message', HTMLElement), texts.demo.switched(label));
    await this.#refresh();
  }

  #animate(event: DemoEvent): void {
    const arrow = document.getElementById(event.kind === 'read' ? 'arrow-app' : 'arrow-vendor');
    const isGood = event.kind === 'read' ? event.token !== undefined : event.result === 'success';
    arrow?.setAttribute('class', `arrow ${isGood ? 'good' : 'bad'}`);
    setTimeout(() => arrow?.setAttribute('class', 'arrow'), ARROW_MS);
  }

  #show(): void {
    const state = this.#state;
    if (!state) return;
    const { texts, format } = this.#writing();
    for (const radio of this.#switches.querySelectorAll('input')) radio.checked = radio.value === state.fault;
    const { token, now } = state;
    const life = byId('demo-life', HTMLElement);
    if (token) {
      const left = Math.max(0, token.expiresAt - now);
      const span = Math.max(1, token.expiresAt - token.issuedAt);
      const dueIn = token.refreshAt - now;
      const times = texts.demo.lifeText(format.duration(Math.max(0, now - token.issuedAt)), format.duration(left));
      const dueText = dueIn > 0 ? texts.demo.lifeDue(format.duration(dueIn)) : texts.demo.lifeDueNow;
      const label = `${times} · ${dueText}`;
      update(
        life,
        element('progress', { max: 100, value: Math.round((100 * left) / span), 'aria-label': texts.demo.life }),
        element('span', {}, label),
      );
    } else {
      update(life, element('span', {}, texts.demo.lifeNone));
    }
    update(byId('demo-account', HTMLElement), texts.demo.tryAccount(state.unionId));
    const items = state.events
      .toSorted((one, other) => other.at - one.at)
      .slice(0, SHOWN_EVENTS)
      .map((event) =>
        element(
          'li',
          { 'data-key': event.id },
          element('time', {}, format.clock(event.at)),
          ' ',
          this.#sentence(event),
        ),
      );
    update(
      byId('demo-events', HTMLElement),
      ...(items.length > 0 ? items : [element('li', { class: 'muted' }, texts.demo.noEvents)]),
    );
  }

  #sentence(event: DemoEvent): HTMLElement {
    const { texts, format } = this.#writing();
    const { demo } = texts;
    const ms = format.number(Math.round(event.durationMs));
    if (event.kind === 'read') {
      const isGood = event.token !== undefined;
      const outcome = isGood ? demo.readServed(event.token) : demo.readFailed(event.code ?? '');
      return element('span', { class: isGood ? 'good' : 'bad' }, demo.read(outcome, ms));
    }
    const { result } = event;
    const isGood = result === 'success';
    const refused = typeof result === 'number' ? demo.loginRefused(String(result)) : demo.loginFault(result);
    const outcome = isGood ? demo.loginSuccess : refused;
    return element(
      'span',
      { class: isGood ? 'good' : 'bad' },
      event.isBackground ? demo.loginBackground(outcome, ms) : demo.login(outcome, ms),
    );
  }
}
