/** The languages of the commands. To add one, add it here: the compiler then names every text that lacks it. */
export const LANGUAGES = ['en', 'zh'] as const;
export type Language = (typeof LANGUAGES)[number];

/** One text in every language. */
export type Text = Readonly<Record<Language, string>>;

/** A name, a code or a number, which is the same in every language. */
export function untranslated(text: string): Text {
  return { en: text, zh: text };
}

/** An error whose reason `check` shows in its language. Logs and apps get it in English, as the message. */
export class ExplainedError extends Error {
  override readonly name: string = 'ExplainedError';
  /** Private, so that the log has the message alone. */
  readonly #reason: Text;

  constructor(reason: Text, options?: ErrorOptions) {
    super(reason.en, options);
    this.#reason = reason;
  }

  get reason(): Text {
    return this.#reason;
  }
}
