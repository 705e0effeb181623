export type Language = 'en' | 'zh';

const LOCALES: Readonly<Record<Language, string>> = { en: 'en-GB', zh: 'zh-CN' };
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** The language of the page: Chinese if the browser prefers it to English. */
export function preferredLanguage(preferences: readonly string[]): Language {
  const first = preferences.find((tag) => /^(zh|en)\b/i.test(tag));
  return first?.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

/** Numbers and times as a language writes them, in a time zone. */
export class Format {
  readonly language: Language;
  readonly #number: Intl.NumberFormat;
  readonly #percent: Intl.NumberFormat;
  readonly #time: Intl.DateTimeFormat;
  readonly #minute: Intl.DateTimeFormat;
  readonly #date: Intl.DateTimeFormat;
  readonly #day: Intl.DateTimeFormat;

  /** @param timeZone default: that of the browser */
  constructor(language: Language, timeZone?: string) {
    this.language = language;
    const locale = LOCALES[language];
    const zone = timeZone === undefined ? {} : { timeZone };
    this.#number = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
    this.#percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
    const time = { hour: '2-digit', minute: '2-digit', hour12: false, ...zone } as const;
    this.#minute = new Intl.DateTimeFormat(locale, time);
    this.#time = new Intl.DateTimeFormat(locale, { ...time, second: '2-digit' });
    this.#day = new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric', ...zone });
    this.#date = new Intl.DateTimeFormat(locale, { year: 'numeric', month: 'short', day: 'numeric', ...time });
  }

  number(value: number): string {
    // -0.04 is 0, not -0.
    return this.#number.format(Math.round(value * 10) / 10 || 0);
  }

  /** @param share from 0 to 1 */
  percent(share: number): string {
    return this.#percent.format(share);
  }

  bytes(bytes: number): string {
    return bytes < 1e6 ? `${this.number(bytes / 1e3)} kB` : `${this.number(bytes / 1e6)} MB`;
  }

  /** Hours and minutes, with the date if it is not today. @param now epoch ms */
  since(iso: string, now: number): string {
    const at = Date.parse(iso);
    return this.#sameDay(at, now) ? this.#minute.format(at) : this.#date.format(at);
  }

  /** A full time, with the date. */
  instant(iso: string): string {
    return this.#date.format(Date.parse(iso));
  }

  /** Hours, minutes and seconds. */
  clock(epochMs: number): string {
    return this.#time.format(epochMs);
  }

  minute(epochMs: number): string {
    return this.#minute.format(epochMs);
  }

  day(epochMs: number): string {
    return this.#day.format(epochMs);
  }

  /** A duration in its largest unit: "3 s", "12 min", "5 h", "9 d". */
  duration(ms: number): string {
    const size = Math.abs(ms);
    if (size < MINUTE_MS) return this.#unit(Math.round(size / 1_000), 's', '秒');
    if (size < HOUR_MS) return this.#unit(Math.round(size / MINUTE_MS), 'min', '分钟');
    if (size < 2 * DAY_MS) return this.#unit(Math.round(size / HOUR_MS), 'h', '小时');
    return this.#unit(Math.round(size / DAY_MS), 'd', '天');
  }

  /** "3 min ago" or "in 5 h". @param now epoch ms */
  relative(iso: string, now: number): string {
    const ms = Date.parse(iso) - now;
    const duration = this.duration(ms);
    if (this.language === 'zh') return ms > 0 ? `${duration}后` : `${duration}前`;
    return ms > 0 ? `in ${duration}` : `${duration} ago`;
  }

  #unit(count: number, english: string, chinese: string): string {
    return `${this.number(count)} ${this.language === 'zh' ? chinese : english}`;
  }

  #sameDay(one: number, other: number): boolean {
    return this.#day.format(one) === this.#day.format(other) && Math.abs(one - other) < 2 * DAY_MS;
  }
}
