import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { columnsOf } from '../../src/commands/command-line.ts';
import { VARIABLES, type Variable, type VariableName } from '../../src/config/variables.ts';
import type { Language } from './language.ts';
import { GROUPS, REQUIRED, SETTINGS, type SettingGroup } from './settings.ts';

const ROOT = new URL('../../', import.meta.url);
const MAX_COLUMNS = 120;
/** A line may end after these characters. */
const BREAKS = /(?<=[ ，。；：、）])/;

/**
 * Writes every setting with its text and its default below the introduction of .env.example.
 * @returns whether the file was different
 */
export function writeEnvExample(path: string, language: Language, { mayWrite }: { readonly mayWrite: boolean }) {
  const file = new URL(path, ROOT);
  const before = readFileSync(file, 'utf8');
  const introduction = before.slice(0, before.indexOf('\n# --- '));
  const names = Object.keys(VARIABLES) as VariableName[];
  const groups = (Object.keys(GROUPS) as SettingGroup[]).map((group) => {
    const settings = names.filter((name) => SETTINGS[name].group === group).map((name) => linesOf(name, language));
    return `\n# --- ${GROUPS[group][language]} ---\n\n${settings.join('')}`;
  });
  const after = introduction + groups.join('');
  if (after !== before && mayWrite) writeFileSync(file, after);
  return after !== before;
}

function linesOf(name: VariableName, language: Language): string {
  const { secret, values, default: value = '' }: Variable<unknown> = VARIABLES[name];
  const { required, example, [language]: meaning } = SETTINGS[name];
  const sentences = [
    meaning,
    ...(values ? [`${language === 'en' ? 'one of: ' : '可选值：'}${values.join(', ')}`] : []),
    ...(required === undefined ? [] : [REQUIRED[required][language]]),
  ];
  const text = sentences.map((sentence) => withoutMarkdown(capitalized(sentence), language));
  const [between, end] = language === 'en' ? ['. ', '.'] : ['。', '。'];
  const comment = wrapped((secret ? '† ' : '') + text.join(between) + end);
  return `${comment}${example === undefined ? `#${name}=${value}` : `${name}=${example}`}\n`;
}

/** A value in backticks stays as it is. */
function capitalized(sentence: string): string {
  return sentence.replace(/^[a-z]/, (letter) => letter.toUpperCase());
}

/** Names of documents in place of links. */
function withoutMarkdown(text: string, language: Language): string {
  const [open, close] = language === 'en' ? [' (', ')'] : ['（', '）'];
  return text.replaceAll('`', '').replaceAll(/\[([^\]]*)\]\(([^)#]+)[^)]*\)/g, (_, words: string, document: string) => {
    const translation = `docs/zh/${document}`;
    const path = language === 'zh' && existsSync(new URL(translation, ROOT)) ? translation : `docs/${document}`;
    return words + open + path + close;
  });
}

function wrapped(text: string): string {
  const lines = [''];
  for (const part of text.split(BREAKS)) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && columnsOf(`# ${line}${part.trimEnd()}`) > MAX_COLUMNS) lines.push(part);
    else lines[lines.length - 1] = line + part;
  }
  return lines.map((line) => `# ${line.trimEnd()}\n`).join('');
}
