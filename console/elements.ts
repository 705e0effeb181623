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

/**
 * Gives an element this content, and changes only the nodes that differ: a selected text stays selected, a focused
 * element focused, and screen readers announce a change once. Listeners of the new content are lost. An element with a
 * `data-key` keeps its node when others come before it.
 */
export function update(target: Element, ...content: readonly Child[]): void {
  const next = element('div', {}, ...content);
  updateChildren(target, next);
}

function updateChildren(target: Element, next: Element): void {
  const keys = new Set([...next.children].map(keyOf));
  let old = target.firstChild;
  for (const child of [...next.childNodes]) {
    while (old && keyOf(old) !== undefined && !keys.has(keyOf(old))) old = removed(old);
    if (old && isSameKind(old, child)) {
      updateNode(old, child);
      old = old.nextSibling;
    } else target.insertBefore(child, old);
  }
  while (old) old = removed(old);
}

/** @returns the node behind the removed one */
function removed(node: ChildNode): ChildNode | null {
  const { nextSibling } = node;
  node.remove();
  return nextSibling;
}

function keyOf(node: Node): string | undefined {
  return node instanceof HTMLElement ? node.dataset['key'] : undefined;
}

function isSameKind(one: Node, other: Node): boolean {
  return one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function updateNode(node: Node, next: Node): void {
  if (!(node instanceof Element && next instanceof Element)) {
    if (node.nodeValue !== next.nodeValue) node.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...node.attributes]) if (!next.hasAttribute(name)) node.removeAttribute(name);
  for (const { name, value } of next.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  updateChildren(node, next);
}
