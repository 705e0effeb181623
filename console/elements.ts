type Child = Node | string | undefined;
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * Makes an HTML element. Text is never parsed as HTML. `true` sets an attribute without a value; `false` leaves it out.
 */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  return fill(document.createElement(tag), attributes, children);
}

export function svgElement(tag: string, attributes: Attributes = {}, ...children: readonly Child[]): SVGElement {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fill<Made extends Element>(made: Made, attributes: Attributes, children: readonly Child[]): Made {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : String(value));
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/** The element of console.html with this id. @throws Error if console.html has none of this type */
export function byId<Kind extends HTMLElement>(id: string, kind: abstract new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`console.html has no ${kind.name} #${id}`);
  return found;
}

/** Text whose parts between backticks are code. */
export function withCode(text: string): (HTMLElement | string)[] {
  return text.split('`').map((part, at) => (at % 2 === 1 ? element('code', {}, part) : part));
}

/** An id. Its characters cannot change the order of the text around it. */
export function idElement(id: string): HTMLElement {
  return element('bdi', { class: 'id' }, id);
}

/** A sentence with an id. */
export function isolated(sentence: (id: string) => string, id: string): (HTMLElement | string)[] {
  const [before = '', after = ''] = sentence('\0').split('\0');
  return [before, idElement(id), after];
}

/** A list of terms and values. */
export function facts(entries: readonly (readonly [string, Child])[]): HTMLElement {
  const rows = entries.map(([term, value]) => element('div', {}, element('dt', {}, term), element('dd', {}, value)));
  return element('dl', {}, ...rows);
}

/** Changes a text only if it differs, so that screen readers announce a change once. */
export function setText(target: HTMLElement, ...content: readonly (Node | string)[]): void {
  const next = element('div', {}, ...content);
  if (target.innerHTML !== next.innerHTML) target.replaceChildren(...next.childNodes);
}
