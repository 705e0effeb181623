import { readFileSync, writeFileSync } from 'node:fs';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { VARIABLES, type Variable } from '../../src/config/variables.ts';
import { markdownTable } from '../markdown.ts';
import type { Language } from './language.ts';

const CHART = new URL('../../deploy/helm/sdk-token-broker/', import.meta.url);
const SCHEMA = new URL('values.schema.json', CHART);

const HEAD = { en: ['value', 'default', 'meaning'], zh: ['值', '默认值', '说明'] } satisfies Record<Language, string[]>;
const SEE = { en: 'see `values.yaml`', zh: '见 `values.yaml`' } satisfies Record<Language, string>;
const CHINESE = /\p{Script=Han}/u;

/**
 * The section of the chart's README with all values. Each has a comment in English and one in Chinese in values.yaml.
 */
export function chartSections(language: Language): Map<string, string> {
  const { contents } = parseDocument(readFileSync(new URL('values.yaml', CHART), 'utf8'));
  if (!isMap(contents)) throw new Error('values.yaml has no values');
  return new Map([['values', markdownTable([HEAD[language], ...rowsOf(contents, '', language)])]]);
}

function rowsOf(map: YAMLMap, prefix: string, language: Language): string[][] {
  return map.items.flatMap((pair, index) => {
    const name = prefix + (isScalar(pair.key) ? pair.key.value : pair.key);
    const lines = commentOf(map, pair, index).split('\n');
    const meaning = lines.filter((line) => CHINESE.test(line) === (language === 'zh')).join(' ');
    if (meaning === '' && isMap(pair.value)) return rowsOf(pair.value, `${name}.`, language);
    if (meaning === '') throw new Error(`values.yaml has no comment in ${language} for ${name}`);
    const text = JSON.stringify(
      isMap(pair.value) ? pair.value.toJSON() : (pair.value as { toJSON(): unknown }).toJSON(),
    );
    const shown = text === '""' ? '–' : `\`${text.replace(/^"(.*)"$/, '$1')}\``;
    return [[`\`${name}\``, text.length > 110 ? SEE[language] : shown, meaning]];
  });
}

/** The parser gives the comment of the first value to the map, and every other one to the name of its value. */
function commentOf(map: YAMLMap, { key }: Pair, index: number): string {
  const comment =
    (isScalar(key) ? key.commentBefore : undefined) ?? (index === 0 ? map.commentBefore : undefined) ?? '';
  return comment.replaceAll(/^ /gm, '');
}

/**
 * Writes the settings and the secrets into the schema of the chart. The schema then refuses a setting that does not
 * exist, and a secret outside the Secret.
 * @returns whether the file was different
 */
export function writeChartSchema({ mayWrite }: { readonly mayWrite: boolean }): boolean {
  const before = readFileSync(SCHEMA, 'utf8');
  const schema = JSON.parse(before);
  Object.assign(schema.definitions, schemaOfSettings());
  const after = `${JSON.stringify(schema, null, 2)}\n`;
  if (after !== before && mayWrite) writeFileSync(SCHEMA, after);
  return after !== before;
}

/** The ports and addresses are those of probes and Services. */
const FIXED = ['HOST', 'PORT', 'ADMIN_HOST', 'ADMIN_PORT'];

function schemaOfSettings() {
  const variables: [string, Variable<unknown>][] = Object.entries(VARIABLES);
  const [secrets, settings] = [true, false].map((isSecret) =>
    variables.filter(([name, { secret }]) => (secret === true) === isSecret && !FIXED.includes(name)),
  ) as [typeof variables, typeof variables];
  const refused = secrets.map(([name]) => [name, false]);
  return {
    settings: {
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries([
        ...settings.map(([name, variable]) => [name, schemaOf(name, variable)]),
        ...refused,
      ]),
      // Variables that the SDK of OpenTelemetry reads by itself.
      patternProperties: { '^OTEL_': { type: ['string', 'integer', 'boolean'] } },
    },
    settingName: { enum: variables.flatMap(([name, { secret }]) => (secret ? [name, `${name}_FILE`] : [name])) },
    secretName: { enum: secrets.map(([name]) => name) },
  };
}

function schemaOf(name: string, { range, values }: Variable<unknown>) {
  if (range) {
    const [minimum, maximum] = range;
    return { type: ['integer', 'string'], minimum, maximum, pattern: '^\\d+$' };
  }
  if (!values)
    return name.endsWith('_URL') ? { type: 'string', pattern: '^https?://' } : { type: 'string', minLength: 1 };
  return { enum: values.includes('true') ? [true, false, ...values] : values };
}
