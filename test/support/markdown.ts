/** A heading, with the anchor that GitHub gives it. */
export interface Heading {
  readonly level: number;
  readonly title: string;
  readonly anchor: string;
}

/** The part of a document from one heading to the next one. The first section has no heading. */
export interface Section {
  readonly heading: Heading | undefined;
  /** Its fenced blocks. */
  readonly blocks: readonly CodeBlock[];
  /** For each table, the cells of each row, without the head. */
  readonly tables: readonly (readonly (readonly string[])[])[];
  /** The cells of its tables that have figures and no word, without spaces. */
  readonly figures: readonly string[];
  /** The targets of its links, as written. */
  readonly links: readonly string[];
}

export interface CodeBlock {
  /** What stands after the fence, for example `sh`. */
  readonly language: string;
  readonly code: string;
}

/** Reads the parts of a Markdown document that must be the same in every language. */
export function sectionsOf(markdown: string): Section[] {
  const anchors = new Map<string, number>();
  const sections: { heading: Heading | undefined; lines: string[]; blocks: CodeBlock[] }[] = [
    { heading: undefined, lines: [], blocks: [] },
  ];
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const current = sections.at(-1);
    const [, indent, fence, language = ''] = /^( *)(`{3,})(.*)$/.exec(line) ?? [];
    if (fence !== undefined) {
      const end = lines.findIndex((other, index) => index > at && other.trim() === fence);
      const close = end === -1 ? lines.length : end;
      const code = lines.slice(at + 1, close).map((text) => text.slice(indent?.length));
      current?.blocks.push({ language, code: code.join('\n') });
      at = close;
      continue;
    }
    const [, marks, title = ''] = /^(#{1,6}) (.+)$/.exec(line) ?? [];
    if (marks === undefined) current?.lines.push(line);
    else {
      sections.push({
        heading: { level: marks.length, title, anchor: anchorOf(title, anchors) },
        lines: [title],
        blocks: [],
      });
    }
  }
  return sections.map(({ heading, lines: text, blocks }) => ({
    heading,
    blocks,
    tables: tablesIn(text),
    figures: figuresIn(text),
    links: [
      ...text
        .join('\n')
        .replaceAll(/`[^`\n]*`/g, '')
        .matchAll(/\]\(([^)\s]+)\)/g),
    ].map(([, target = '']) => target),
  }));
}

export function headingsOf(markdown: string): Heading[] {
  return sectionsOf(markdown).flatMap(({ heading }) => heading ?? []);
}

/** The targets of all links, as written, without those in code. */
export function linksOf(markdown: string): string[] {
  return sectionsOf(markdown).flatMap(({ links }) => links);
}

/** GitHub's rule: lower case, no punctuation, hyphens for spaces, and a number for each repetition. */
function anchorOf(title: string, used: Map<string, number>): string {
  const text = title.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
  const anchor = text.replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\s-]/gu, '').replaceAll(/\s/g, '-');
  const before = used.get(anchor) ?? 0;
  used.set(anchor, before + 1);
  return before === 0 ? anchor : `${anchor}-${before}`;
}

function tablesIn(lines: readonly string[]): string[][][] {
  const tables: string[][][] = [];
  for (const [at, line] of lines.entries()) {
    if (!line.startsWith('|')) continue;
    const isHead = !lines[at - 1]?.startsWith('|');
    if (isHead) tables.push([]);
    else if (!/^\|[\s|:-]+\|$/.test(line)) tables.at(-1)?.push(cellsOf(line));
  }
  return tables;
}

function figuresIn(lines: readonly string[]): string[] {
  const cells = lines.filter((line) => line.startsWith('|')).flatMap(cellsOf);
  return cells.filter((cell) => /\d/.test(cell) && !/\p{L}/u.test(cell)).map((cell) => cell.replaceAll(' ', ''));
}

function cellsOf(row: string): string[] {
  return row
    .slice(1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
}
