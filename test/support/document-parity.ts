import { translationOf } from '../../docs/site/documents.ts';
import { type CodeBlock, headingsOf, type Section, sectionsOf } from './markdown.ts';

/** Reads a document by its path in the repository. `undefined`: it does not exist. */
export type ReadDocument = (path: string) => string | undefined;

/** The third line of a document and of its translation: each leads to the other one. */
function languageLines(path: string): [original: string, translation: string] {
  if (path === 'README.md') return ['English | [简体中文](README.zh-CN.md)', '[English](README.md) | 简体中文'];
  if (!path.startsWith('docs/')) return ['[简体中文](README.zh-CN.md)', '[English](README.md)'];
  const name = path.replace(/^docs\//, '');
  return [`[简体中文](zh/${name})`, `[English](../${name})`];
}

/**
 * Compares a document with its translation: the line below the title, headings, code, the first
 * columns, the figures and the code of tables, and links.
 * Also finds bold text of the translation that Markdown does not show as bold.
 * @returns one line for each difference
 */
export function parityProblems(path: string, read: ReadDocument): string[] {
  const [original, translation] = [read(path), read(translationOf(path))];
  if (original === undefined) return [`${path} does not exist`];
  if (translation === undefined) return [`${translationOf(path)} does not exist`];
  const [ourLine, theirLine] = languageLines(path);
  const languages = [
    ...languageLineProblems(path, original, ourLine),
    ...languageLineProblems(translationOf(path), translation, theirLine),
  ];
  const unformatted = [...languages, ...boldProblems(translation)];
  if (unformatted.length > 0) return unformatted;
  const [ours, theirs] = [sectionsOf(withoutLine3(original)), sectionsOf(withoutLine3(translation))];
  const headings = headingProblems(ours, theirs);
  // If a heading is missing, all sections after it would be compared with the wrong ones.
  if (headings.length > 0) return headings;
  return ours.flatMap((section, at) => {
    const other = theirs[at];
    if (other === undefined) return [];
    const problems = [
      ...codeProblems(section.blocks, other.blocks),
      ...tableProblems(section.tables, other.tables),
      ...figureProblems(section.figures, other.figures),
      ...linkProblems(linkTargets(path, section, read), linkTargets(translationOf(path), other, read)),
      ...untranslatedLinks(path, other, read),
    ];
    return problems.map((problem) => `${section.heading ? `"${section.heading.title}"` : 'the beginning'}: ${problem}`);
  });
}

function languageLineProblems(path: string, text: string, expected: string): string[] {
  const [, blank, line, next] = text.split('\n');
  return blank === '' && line === expected && next === '' ? [] : [`line 3 of ${path} is not: ${expected}`];
}

/**
 * Chinese has no spaces between words. So Markdown does not recognize the marks of `**注意。**下一句`:
 * there must be no punctuation between a mark and the bold text if a letter follows on the other side of the mark.
 */
function boldProblems(text: string): string[] {
  const [isMark, isLetter] = [/^[\p{P}\p{S}]/u, /^[^\s\p{P}\p{S}]/u];
  const isBroken = (inside = '', outside = '') => isMark.test(inside) && isLetter.test(outside);
  const prose = text.replaceAll(/^( *)(`{3,})[\s\S]*?^ *\2$/gm, '').replaceAll(/`[^`\n]*`/g, '`code`');
  return prose.split('\n').flatMap((line) => {
    const parts = line.split('**');
    return parts.flatMap((bold, at) => {
      const broken = isBroken(bold, parts[at - 1]?.slice(-1)) || isBroken(bold.slice(-1), parts[at + 1]);
      return at % 2 === 1 && broken ? [`Markdown does not show **${bold}** as bold here: ${line}`] : [];
    });
  });
}

function withoutLine3(text: string): string {
  return text
    .split('\n')
    .filter((_, at) => at !== 2)
    .join('\n');
}

function headingProblems(ours: readonly Section[], theirs: readonly Section[]): string[] {
  const outline = (sections: readonly Section[]) =>
    sections.flatMap(({ heading }) => (heading ? [{ ...heading, spans: codeSpans(heading.title) }] : []));
  const [originals, translations] = [outline(ours), outline(theirs)];
  const isSame = (at: number) =>
    originals[at]?.level === translations[at]?.level && sameItems(originals[at]?.spans, translations[at]?.spans);
  const longest = Math.max(originals.length, translations.length);
  const first = Array.from({ length: longest }, (_, at) => at).find((at) => !isSame(at));
  if (first === undefined) return [];
  const shown = (heading: { level: number; title: string } | undefined) =>
    heading ? `"${'#'.repeat(heading.level)} ${heading.title}"` : 'no heading';
  const counts =
    originals.length === translations.length
      ? ''
      : `${originals.length} headings, the translation has ${translations.length}. The first difference: `;
  return [
    `${counts}heading ${first + 1} is ${shown(originals[first])}, in the translation ${shown(translations[first])}`,
  ];
}

function codeProblems(ours: readonly CodeBlock[], theirs: readonly CodeBlock[]): string[] {
  if (ours.length !== theirs.length) return [`${ours.length} code blocks, the translation has ${theirs.length}`];
  return ours.flatMap((block, at) => {
    const other = theirs[at];
    if (block.language !== other?.language)
      return [`code block ${at + 1} is ${block.language}, not ${other?.language}`];
    return comparable(block) === comparable(other) ? [] : [`code block ${at + 1} (${block.language}) differs`];
  });
}

/** Which lines are comments. In the other languages, every byte counts. */
const COMMENTS: Readonly<Record<string, RegExp>> = {
  sh: /(?:^|\s+)#\s.*$/gm,
  yaml: /(?:^|\s+)#\s.*$/gm,
  promql: /(?:^|\s+)#\s.*$/gm,
  js: /(?:^|\s+)\/\/\s.*$|^\s*\/?\*.*$/gm,
  kotlin: /(?:^|\s+)\/\/\s.*$|^\s*\/?\*.*$/gm,
  swift: /(?:^|\s+)\/\/\/?\s.*$/gm,
  java: /(?:^|\s+)\/\/\s.*$|^\s*\/?\*.*$/gm,
  php: /(?:^|\s+)\/\/\s.*$/gm,
};

/** The code without comments; of a diagram, everything but its words. */
function comparable({ language, code }: CodeBlock): string {
  if (language === 'mermaid') return diagramOf(code);
  const comment = COMMENTS[language];
  if (comment === undefined) return code;
  return code
    .replaceAll(comment, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .join('\n');
}

/** The statements of a Mermaid diagram without the words that a translation changes. */
function diagramOf(code: string): string {
  const withoutWords = code
    .replaceAll(/"[^"]*"/g, '""')
    .replaceAll(/ -- [^-]+ -->/g, ' -- -->')
    .replaceAll(/^(\s*(?:alt|else|opt|loop|par|and|title|section)\b).*$/gm, '$1')
    .replaceAll(/^(\s*axisFormat\b)[^%]*(%\S+).*$/gm, '$1 $2')
    .replaceAll(/^(\s*participant \S+ as ).*$/gm, '$1');
  // In a Gantt chart the words come before the colon, elsewhere after it.
  if (code.startsWith('gantt')) return withoutWords.replaceAll(/^[^:\n]+ :/gm, ':');
  return withoutWords.replaceAll(/: .*$/gm, ':');
}

function tableProblems(ours: Section['tables'], theirs: Section['tables']): string[] {
  if (ours.length !== theirs.length) return [`${ours.length} tables, the translation has ${theirs.length}`];
  return ours.flatMap((table, at) => {
    const other = theirs[at] ?? [];
    const rows = table.map(firstCell);
    const others = other.map(firstCell);
    const missing = rows.filter((cell) => isName(cell) && !others.includes(cell));
    if (missing.length > 0) return [`table ${at + 1} of the translation has no row ${missing.join(', ')}`];
    const extra = others.filter((cell) => isName(cell) && !rows.includes(cell));
    if (extra.length > 0) return [`table ${at + 1} of the original has no row ${extra.join(', ')}`];
    if (rows.length !== others.length) return [`table ${at + 1} has ${rows.length} rows, not ${others.length}`];
    const order = rows.findIndex((cell, row) => !sameItems(codeSpans(cell), codeSpans(others[row] ?? '')));
    if (order !== -1) return [`row ${order + 1} of table ${at + 1}: ${rows[order]} is ${others[order]}`];
    return table.flatMap((cells, row) => {
      const [codes, translated] = [codesOf(cells), codesOf(other[row] ?? [])];
      const differences = [...without(codes, translated), ...without(translated, codes)];
      return differences.map((code) => `row ${rows[row]} of table ${at + 1}: only one language has \`${code}\``);
    });
  });
}

function firstCell([first = '']: readonly string[]): string {
  return withoutTargets(first);
}

/** Each once: another language may repeat one. */
function codesOf(cells: readonly string[]): string[] {
  return [...new Set(cells.flatMap(codeSpans))];
}

/** Another language has other targets: `linkProblems` compares them. */
function withoutTargets(cell: string): string {
  return cell.replaceAll(/\]\([^)]*\)/g, ']');
}

/**
 * A program measured many figures and wrote them into the original. The translation must have those of the same run.
 */
function figureProblems(ours: readonly string[], theirs: readonly string[]): string[] {
  if (ours.length !== theirs.length) return [`${ours.length} cells of figures, the translation has ${theirs.length}`];
  return ours.flatMap((cell, at) => (cell === theirs[at] ? [] : [`the figures ${cell} are ${theirs[at]}`]));
}

/** A cell that is the same in every language: code and marks only. */
function isName(cell: string): boolean {
  return codeSpans(cell).length > 0 && !/\p{L}/u.test(cell.replaceAll(/`[^`]*`/g, ''));
}

function linkProblems(ours: readonly string[], theirs: readonly string[]): string[] {
  return [
    ...without(ours, theirs).map((target) => `the translation has no link to ${target}`),
    ...without(theirs, ours).map((target) => `the original has no link to ${target}`),
  ];
}

/**
 * Links of the translation that lead to an English document, although it has a translation, or to an English picture.
 */
function untranslatedLinks(path: string, section: Section, read: ReadDocument): string[] {
  return section.links
    .filter((link) => !/^(?:https?|mailto):/.test(link))
    .map((link) => new URL(link, `file:///${translationOf(path)}`).pathname.slice(1))
    .filter((target) => {
      if (/-en\.(?:png|svg)$/.test(target)) return true;
      return (
        /^(?:(?:clients|examples)\/.+\/)?README\.md$|^docs\/[^/]+\.md$/.test(target) &&
        read(translationOf(target)) !== undefined
      );
    })
    .map((target) => `the link of the translation to ${target} leads to the original, not to its translation`);
}

/**
 * Where the links of a section lead, the same for a document and its translation: the path, and the number of the
 * heading.
 */
function linkTargets(path: string, section: Section, read: ReadDocument): string[] {
  return section.links.map((link) => {
    if (/^(?:https?|mailto):/.test(link)) return link;
    const url = new URL(link, `file:///${path}`);
    const target = url.pathname.slice(1);
    const name = target
      .replace(/README\.zh-CN\.md$/, 'README.md')
      .replace(/^\.env\.example\.zh$/, '.env.example')
      .replace(/^docs\/zh\//, 'docs/')
      .replace(/-zh(?=\.(?:png|svg)$)/, '-en');
    if (url.hash === '') return name;
    const anchor = decodeURIComponent(url.hash.slice(1));
    const at = headingsOf(read(target) ?? '').findIndex((heading) => heading.anchor === anchor);
    return at === -1 ? `${name}#${anchor}` : `${name}, heading ${at + 1}`;
  });
}

function codeSpans(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
}

function sameItems(ours: readonly string[] = [], theirs: readonly string[] = []): boolean {
  return without(ours, theirs).length === 0 && without(theirs, ours).length === 0;
}

/** `items` without those of `others`, each as often as it stands there. */
function without(items: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return items.filter((item) => {
    const at = left.indexOf(item);
    if (at !== -1) left.splice(at, 1);
    return at === -1;
  });
}
