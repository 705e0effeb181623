import type { StatusReport } from '../src/http/routes/status.ts';
import type { ErrorCode } from '../src/token/errors.ts';
import { type ChartSize, scaleTop, stackedBars } from './chart-geometry.ts';
import { byId, element, facts, svgElement, update, withCode } from './elements.ts';
import { ERROR_MEANINGS } from './error-meanings.ts';
import type { Finding } from './findings-en.ts';
import type { Format } from './format.ts';
import { type ChartName, OWN_PACE, outcomeGroups } from './outcome-groups.ts';
import type { Texts } from './texts-en.ts';

/** The texts, and the language and time with which a part of the page writes them. */
export interface Writing {
  readonly texts: Texts;
  readonly format: Format;
  /** Epoch ms by the broker's clock. */
  readonly now: number;
}

const CHART: ChartSize = { width: 305, height: 60 };
const CHARTS: readonly ChartName[] = ['reads', 'renewals', 'logins', 'sessions'];

interface Series {
  readonly tone: string;
  readonly label: string;
  readonly counts: readonly number[];
}

interface Chart {
  readonly title: string;
  readonly series: readonly Series[];
  /** Summary for screen readers. */
  readonly summary: string;
  /** Texts below the chart, from left to right. */
  readonly axis: readonly string[];
  /** Name of the interval at an index. */
  readonly interval: (at: number) => string;
  readonly hasLegend: boolean;
}

/** Shows a status in the panels of console.html. */
export function showStatus(status: StatusReport, writing: Writing): void {
  const { texts } = writing;
  const panels: Readonly<Record<string, readonly (HTMLElement | string)[]>> = {
    dependencies: dependencies(status, writing),
    due: due(status, writing),
    fleet: [fleet(status, writing)],
    'replica-only': [texts.replicaOnly(status.replica)],
    charts: CHARTS.map((name) => chart(outcomes(name, status, writing), writing)),
    load: [load(status, writing)],
    failures: failures(status, writing),
  };
  for (const [id, content] of Object.entries(panels)) update(byId(id, HTMLElement), ...content);
}

type Contact = Pick<StatusReport['store'], 'state' | 'lastSuccessAt' | 'lastFailure'>;

/** The findings about the logins of a domain. */
const LOGIN_FINDINGS: ReadonlySet<Finding['code']> = new Set([
  'vendor_rejects',
  'vendor_down',
  'vendor_fails_logins',
  'vendor_slow',
]);

/** Whether no new token can be had or kept, so that it matters when those in use end. */
export function endsMatter({ findings }: StatusReport): boolean {
  return findings.some(
    ({ code, level }) => code === 'redis_refuses_writes' || (LOGIN_FINDINGS.has(code) && level === 'critical'),
  );
}

/** What does not work now, and how, although there may be no finding yet. */
export function failingNow(report: StatusReport, { dependencyState, ...texts }: Texts): string | undefined {
  const all: [string, State][] = [
    ...report.vendorDomains.map((domain): [string, State] => [`${texts.vendor} ${domain.host}`, domainState(domain)]),
    [texts.redis, storeState(report)],
  ];
  const [failing] = all.filter(([, state]) => LEVELS[state] === 'bad');
  return failing && dependencyState(failing[0], texts.states[failing[1]]);
}

function domainState(domain: StatusReport['vendorDomains'][number]): State {
  const open = { closed: undefined, open: 'open', 'half-open': 'halfOpen' } as const;
  return open[domain.circuit] ?? stateOf(domain);
}

function storeState({ store, findings }: StatusReport): State {
  if (!store.reachable) return 'down';
  if (findings.some(({ code }) => code === 'redis_refuses_writes')) return 'refusesWrites';
  return store.kind === 'redis' ? stateOf(store) : 'works';
}

function dependencies(report: StatusReport, writing: Writing): HTMLElement[] {
  const { vendorDomains, store, sessions } = report;
  const { texts, format } = writing;
  const domains = vendorDomains.map((domain) => {
    const seconds = domain.clockOffsetSeconds;
    const notes = seconds === 0 ? [] : [texts.clockOffset(format.duration(seconds * 1_000))];
    return dependency(texts.vendor, domain.host, domainState(domain), domain, notes, writing);
  });
  const isRedis = store.kind === 'redis';
  const storeName = isRedis ? texts.redis : texts.memoryStore;
  const server = sessions.server
    ? dependency(texts.sessionServer, sessions.mode, stateOf(sessions.server), sessions.server, [], writing)
    : dependency(texts.sessionServer, sessions.mode, 'works', undefined, [texts.noSessionServer], writing);
  return [...domains, dependency(storeName, '', storeState(report), isRedis ? store : undefined, [], writing), server];
}

type State = keyof Texts['states'];
const LEVELS: Readonly<Record<State, string>> = {
  works: 'ok',
  last_try_failed: 'warn',
  fails: 'bad',
  refusesWrites: 'bad',
  down: 'bad',
  open: 'bad',
  halfOpen: 'warn',
  unknown: 'idle',
};

function stateOf({ state, lastSuccessAt }: Contact): State {
  return state === 'works' && lastSuccessAt === null ? 'unknown' : state;
}

function dependency(
  name: string,
  detail: string,
  state: State,
  contact: Contact | undefined,
  notes: readonly string[],
  { texts, format, now }: Writing,
): HTMLElement {
  const title = element('h3', {}, name, ' ', element('span', { class: 'detail' }, detail));
  const pill = element('span', { class: `pill ${LEVELS[state]}` }, texts.states[state]);
  const failure = contact?.lastFailure;
  const code = failure?.vendorCode === undefined ? '' : `, ${texts.vendorCode(failure.vendorCode)}`;
  const times =
    contact &&
    facts([
      [texts.lastSuccess, moment(contact.lastSuccessAt, texts.never)],
      [
        texts.lastFailure,
        failure
          ? element('span', {}, moment(failure.at, ''), ` · ${failure.problem ?? failure.reason}${code}`)
          : texts.none,
      ],
    ]);
  const note = notes.length > 0 ? element('p', { class: 'muted' }, notes.join(' · ')) : undefined;
  return element('li', {}, element('div', { class: 'row' }, title, pill), times, note);

  function moment(iso: string | null, otherwise: string): HTMLElement | string {
    if (iso === null) return otherwise;
    return element('time', { datetime: iso, title: format.instant(iso) }, format.relative(iso, now));
  }
}

/** All replicas, so that a missing one, a mixed roll-out or a forgotten reload shows. */
function fleet({ replicas }: StatusReport, { texts, format, now }: Writing): HTMLElement {
  const mostVersion = mostFrequent(replicas.map(({ version }) => version));
  const mostConfiguration = mostFrequent(replicas.map(({ configuration }) => configuration));
  const compared = (value: string, most: string | undefined) =>
    value === most
      ? element('code', {}, value)
      : element('span', {}, element('code', {}, value), ' ', element('b', { class: 'bad' }, texts.differs));
  const rows = replicas.map(
    ({ replica, version, startedAt, findings, clockOffsetSeconds, configuration, missingSince }) => {
      const verdict =
        missingSince !== null
          ? element('b', { class: 'bad' }, texts.missingFor(format.duration(now - Date.parse(missingSince))))
          : element(
              'span',
              {},
              ...(findings?.length ? findings.map((code) => element('code', {}, `${code} `)) : []),
              findings === null ? texts.unknown : findings.length === 0 ? texts.fine : '',
            );
      const clock = clockOffsetSeconds === null ? texts.unknown : `${format.number(clockOffsetSeconds)} s`;
      return element(
        'tr',
        {},
        element('th', { scope: 'row' }, element('code', {}, replica)),
        element('td', {}, compared(version, mostVersion)),
        element('td', {}, verdict),
        element('td', {}, clock),
        element('td', {}, compared(configuration, mostConfiguration)),
        element('td', {}, format.relative(startedAt, now)),
      );
    },
  );
  const { replica, replicaVersion, replicaFindings, clockDifference, configuration, upSince } = texts;
  return table([replica, replicaVersion, replicaFindings, clockDifference, configuration, upSince], rows);
}

/** `undefined`: no value is more frequent than all others. */
function mostFrequent(values: readonly string[]): string | undefined {
  const count = (value: string) => values.filter((other) => other === value).length;
  const [most = '', next = ''] = [...new Set(values)].sort((one, other) => count(other) - count(one));
  return count(most) > count(next) ? most : undefined;
}

function table(heads: readonly string[], rows: readonly HTMLElement[], caption?: string): HTMLElement {
  return element(
    'table',
    {},
    caption === undefined ? undefined : element('caption', {}, caption),
    element('thead', {}, element('tr', {}, ...heads.map((text) => element('th', { scope: 'col' }, text)))),
    element('tbody', {}, ...rows),
  );
}

function hourChart(title: string, counts: readonly number[], tone: string, writing: Writing): HTMLElement {
  const { texts, format, now } = writing;
  const hour = (at: number) => `${format.minute(now + at * 3_600_000)}–${format.minute(now + (at + 1) * 3_600_000)}`;
  return countsChart(title, counts, tone, [texts.now, texts.hours(12), texts.hours(24)], hour, writing);
}

function countsChart(
  title: string,
  counts: readonly number[],
  tone: string,
  axis: readonly string[],
  interval: (at: number) => string,
  writing: Writing,
): HTMLElement {
  const { texts, format } = writing;
  const summary = texts.summaryDue(title, format.number(sumOf(counts)), format.number(Math.max(...counts)));
  return chart({ title, series: [{ tone, label: '', counts }], summary, axis, interval, hasLegend: false }, writing);
}

function due({ schedule, tokensEnded, firstEndAt }: StatusReport, writing: Writing): HTMLElement[] {
  const { texts, format, now } = writing;
  const ends: readonly (readonly [string, string])[] = [
    [texts.firstEndAt, firstEndAt === null ? texts.unknown : format.relative(firstEndAt, now)],
    [texts.ended, format.number(tokensEnded)],
  ];
  if (!schedule) return [element('p', { class: 'muted' }, texts.dueUnknown), numbers(ends)];
  const { due, total, oldestOverdueSeconds, next24Hours, next30Days } = schedule;
  const day = (at: number) => format.day(now + at * 86_400_000);
  return [
    numbers([
      [texts.dueNow, format.number(due.now)],
      [texts.dueHour, format.number(due.in1h)],
      [texts.dueDay, format.number(due.in24h)],
      [texts.dueWeek, format.number(due.in7d)],
      [texts.dueMonth, format.number(due.in30d)],
      [texts.total, format.number(total)],
      [texts.overdueFor, oldestOverdueSeconds > 0 ? format.duration(oldestOverdueSeconds * 1_000) : texts.none],
      ...ends,
    ]),
    element(
      'div',
      { class: 'charts' },
      hourChart(texts.next24, next24Hours, 'good', writing),
      countsChart(texts.next30, next30Days, 'good', [texts.now, texts.days(15), texts.days(30)], day, writing),
    ),
  ];
}

function numbers(entries: readonly (readonly [string, string])[]): HTMLElement {
  const list = facts(entries);
  list.className = 'numbers';
  return list;
}

function outcomes(name: ChartName, { lastHour }: StatusReport, { texts, format }: Writing): Chart {
  const groups = outcomeGroups(lastHour, name);
  const series = groups.map(({ name: group, tone, counts }) => ({ tone, counts, label: texts.groups[group] }));
  const parts = series.map(({ label, counts }) => `${label} ${format.number(sumOf(counts))}`);
  return {
    title: texts.charts[name],
    series,
    summary: `${texts.charts[name]}: ${parts.join(', ')}`,
    axis: [texts.hourAgo, texts.now],
    interval: (at) => format.minute(Date.parse(lastHour.from) + at * 60_000),
    hasLegend: true,
  };
}

function chart({ title, series, summary, axis, interval, hasLegend }: Chart, { texts, format }: Writing): HTMLElement {
  const counts = series.map((one) => one.counts);
  const bars = stackedBars(counts, CHART).map((bar) => {
    const { label = '', tone, counts = [] } = series[bar.series] ?? {};
    const { series: _, at, ...place } = bar;
    const tip = `${interval(at)}  ${format.number(counts[at] ?? 0)} ${label}`.trimEnd();
    return svgElement('rect', { ...place, class: tone }, svgElement('title', {}, tip));
  });
  const viewBox = `0 0 ${CHART.width} ${CHART.height}`;
  const drawing = svgElement(
    'svg',
    { viewBox, preserveAspectRatio: 'none', role: 'img', 'aria-label': summary },
    ...bars,
  );
  const top = scaleTop(counts);
  const scale = [top === 0 ? texts.noEvents : format.number(top), '0'].map((text) => element('span', {}, text));
  const plot = element('div', { class: 'plot' }, drawing);
  const legend = series.map(({ tone, label, counts }) =>
    element(
      'li',
      {},
      element('span', { class: `swatch ${tone}` }),
      `${label} `,
      element('b', {}, format.number(sumOf(counts))),
    ),
  );
  return element(
    'figure',
    {},
    element('figcaption', {}, title),
    element('div', { class: 'scaled' }, element('div', { class: 'scale', 'aria-hidden': 'true' }, ...scale), plot),
    element('div', { class: 'axis', 'aria-hidden': 'true' }, ...axis.map((text) => element('span', {}, text))),
    hasLegend ? element('ul', { class: 'legend' }, ...legend) : undefined,
  );
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

function load(
  { loginBudget, memory, startedAt, sessions }: StatusReport,
  { texts, format, now }: Writing,
): HTMLElement {
  const { perSecond, used, waiting } = loginBudget;
  const budget =
    perSecond === null
      ? texts.budgetOff
      : element(
          'div',
          {},
          element('meter', { min: 0, max: 1, high: 0.9, value: used ?? 0, 'aria-label': texts.budget }),
          element('div', {}, texts.budgetUsed(format.percent(used ?? 0), format.number(perSecond))),
          element('div', {}, waiting === null ? texts.budgetUnknown : texts.budgetWaiting(format.number(waiting))),
        );
  return facts([
    [texts.budget, budget],
    [texts.tokensInMemory, `${format.number(memory.tokens)} · ${format.bytes(memory.bytes)}`],
    [texts.sessionMode, sessions.mode],
    [texts.upSince, `${format.instant(startedAt)} (${format.relative(startedAt, now)})`],
  ]);
}

function failures({ recentFailures }: StatusReport, writing: Writing): HTMLElement[] {
  const { texts, format } = writing;
  const { requests, backgroundRenewals } = recentFailures;
  const tables = [
    failureTable(texts.requests, Object.entries<number>(requests.last60Minutes), requests, writing),
    failureTable(
      texts.backgroundRenewals,
      Object.entries<number>(backgroundRenewals.last60Minutes).filter(([code]) => code !== OWN_PACE),
      backgroundRenewals,
      writing,
    ),
  ].filter((table) => table !== undefined);
  const paced = countOf(backgroundRenewals.last60Minutes, OWN_PACE);
  const recently = countOf(backgroundRenewals.last5Minutes, OWN_PACE);
  return [
    ...(tables.length > 0 ? tables : [element('p', { class: 'muted' }, texts.noFailures)]),
    ...(paced > 0
      ? [element('p', { class: 'muted' }, texts.paced(format.number(recently), format.number(paced)))]
      : []),
  ];
}

function countOf(counts: Readonly<Record<string, number>>, code: string): number {
  return Object.hasOwn(counts, code) ? (counts[code] ?? 0) : 0;
}

/** In a few words: what a code means, and who must act. */
function meaningOf(code: string, { texts, format }: Pick<Writing, 'texts' | 'format'>): HTMLElement[] {
  const meaning = Object.hasOwn(ERROR_MEANINGS, code) ? ERROR_MEANINGS[code as ErrorCode] : undefined;
  if (!meaning) return [];
  const text = texts.meaning(meaning[format.language], texts.actors[meaning.actor]);
  return [element('p', { class: 'muted' }, ...withCode(text))];
}

type Failures = StatusReport['recentFailures']['requests'];

function failureTable(
  title: string,
  counts: readonly (readonly [string, number])[],
  { last5Minutes }: Failures,
  { texts, format }: Writing,
): HTMLElement | undefined {
  const rows = counts
    .toSorted(([, one], [, other]) => other - one)
    .map(([code, count]) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, element('code', {}, code), ...meaningOf(code, { texts, format })),
        element('td', {}, format.number(countOf(last5Minutes, code))),
        element('td', {}, format.number(count)),
      ),
    );
  return rows.length > 0 ? table([texts.code, texts.minutes5, texts.minutes60], rows, title) : undefined;
}
