interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
};
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/g;

/**
 * Parses the Prometheus text format 0.0.4 as strictly as Prometheus does.
 * @returns the metrics by name
 * @throws Error with the first invalid line
 */
export function parsePrometheus(text: string): ReadonlyMap<string, MetricFamily> {
  const families = new Map<string, MetricFamily>();
  const seen = new Set<string>();
  let name = '';
  let help = '';
  for (const line of text.split('\n')) {
    const [, keyword, about = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      if (families.has(about)) throw new Error(`duplicate: ${line}`);
      [name, help] = [about, rest];
    } else if (keyword === 'TYPE') {
      if (about !== name) throw new Error(`TYPE without HELP directly before it: ${line}`);
      families.set(about, { type: rest, help, samples: [] });
    } else if (line !== '') {
      const family = families.get(name);
      const sample = sampleIn(line);
      const suffixes = SUFFIXES[family?.type ?? ''] ?? [''];
      if (!suffixes.some((suffix) => sample.name === name + suffix))
        throw new Error(`sample of another metric below ${name}: ${line}`);
      const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
      if (seen.has(key)) throw new Error(`duplicate: ${line}`);
      seen.add(key);
      family?.samples.push(sample);
    }
  }
  return families;
}

function sampleIn(line: string): Sample {
  const [, name = '', inBraces = '', value = ''] = SAMPLE.exec(line) ?? [];
  const pairs = [...inBraces.matchAll(LABEL)];
  const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
  if (
    name === '' ||
    pairs.map(([pair]) => pair).join('') !== inBraces ||
    (Number.isNaN(number) && !/^nan$/i.test(value))
  ) {
    throw new Error(`not in the text format: ${line}`);
  }
  return { name, labels: Object.fromEntries(pairs.map(([, label = '', text = '']) => [label, text])), value: number };
}

/** Sum of all scraped samples with this name and at least these labels. 0 if there is no such sample. */
export function sampled(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const samples = [...parsePrometheus(text).values()].flatMap((family) => family.samples);
  return samples
    .filter((sample) => sample.name === name)
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);
}
