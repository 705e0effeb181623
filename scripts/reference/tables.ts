import { existsSync, readFileSync } from 'node:fs';
import { ERROR_MEANINGS } from '../../console/error-meanings.ts';
import { VARIABLES, type Variable, type VariableName } from '../../src/config/variables.ts';
import { ERRORS, type ErrorCode } from '../../src/token/errors.ts';
import { MISTAKES, readResults } from '../../test/simulation/mistakes.ts';
import { headingsOf } from '../../test/support/markdown.ts';
import { markdownTable } from '../markdown.ts';
import { APP_HEAD, APP_TEXTS, YES_NO } from './errors.ts';
import type { Language, Texts } from './language.ts';
import { GROUPS, REQUIRED, SETTINGS, SETTINGS_HEAD, type SettingGroup } from './settings.ts';

const DOCS = new URL('../../docs/', import.meta.url);

/** The sections of docs/settings.md that are tables, by their names. */
export function settingSections(language: Language): Map<string, string> {
  const names = Object.keys(VARIABLES) as VariableName[];
  const groups = Object.keys(GROUPS) as SettingGroup[];
  return new Map(groups.map((group) => [`settings-${group}`, settingTable(names, group, language)]));
}

function settingTable(names: readonly VariableName[], group: SettingGroup, language: Language): string {
  const rows = names.filter((name) => SETTINGS[name].group === group).map((name) => settingRow(name, language));
  return markdownTable([SETTINGS_HEAD[language], ...rows]);
}

function settingRow(name: VariableName, language: Language): string[] {
  const variable: Variable<unknown> = VARIABLES[name];
  const { required, [language]: meaning } = SETTINGS[name];
  const missing = required === undefined ? '–' : REQUIRED[required][language];
  return [
    `\`${name}\`${variable.secret ? ' †' : ''}`,
    variable.default === undefined ? missing : `\`${variable.default}\``,
    allowedValues(variable),
    withTranslatedLinks(meaning, language),
  ];
}

/** A range or a list of values. Other settings describe their form in their text. */
function allowedValues({ range, values = [] }: Variable<unknown>): string {
  if (range) return range.join('–');
  return values.map((value) => `\`${value}\``).join(', ') || '–';
}

/** The sections of docs/errors.md that are tables, by their names. */
export function errorSections(language: Language): Map<string, string> {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  const cell = (texts: Texts) => withTranslatedLinks(texts[language], language);
  const app = codes.map((code) => {
    const { status, retryable } = ERRORS[code];
    return [
      `\`${code}\``,
      String(status),
      YES_NO[retryable ? 'yes' : 'no'][language],
      cell(ERROR_MEANINGS[code]),
      cell(APP_TEXTS[code]),
    ];
  });
  return new Map([['errors-app', markdownTable([APP_HEAD[language], ...app])]]);
}

/** The section of docs/test-results.md about the mistakes that the simulation must find. */
export function mistakeSections(): Map<string, string> {
  const { date, findings } = readResults();
  const rules = new Set(Object.values(findings));
  const count = Object.keys(findings).length;
  const text = `The latest run, on ${date}, found ${count} of ${MISTAKES.length} mistakes, by ${rules.size} rules.`;
  return new Map([['mistakes', text]]);
}

/** The texts link to the English documents. In Chinese, a link leads to the translation, if there is one. */
export function withTranslatedLinks(text: string, language: Language): string {
  if (language === 'en') return text;
  return text.replaceAll(/\]\(([^)#]+)#?([^)]*)\)/g, (_, document: string, anchor: string) => {
    const target = existsSync(new URL(`zh/${document}`, DOCS)) ? document : `../${document}`;
    if (anchor === '') return `](${target})`;
    const english = headingsOf(readFileSync(new URL(document, DOCS), 'utf8'));
    const at = english.findIndex((heading) => heading.anchor === anchor);
    const heading = headingsOf(readFileSync(new URL(target, new URL('zh/', DOCS)), 'utf8'))[at];
    if (heading === undefined) throw new Error(`${document} has no heading #${anchor}, or its translation has not`);
    return `](${target}#${heading.anchor})`;
  });
}
