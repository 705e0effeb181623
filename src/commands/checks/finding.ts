/** What one look at one thing brought. None of it is secret. */
export type Finding =
  | { readonly level: 'ok'; readonly what: string; readonly detail: string }
  | {
      readonly level: 'warn' | 'FAIL';
      readonly what: string;
      readonly detail: string;
      /** What to do about it. */
      readonly mend: string;
    };

/** What is wrong, and how to mend it. */
export interface Trouble {
  readonly detail: string;
  readonly mend: string;
}

export function ok(what: string, detail: string): Finding {
  return { level: 'ok', what, detail };
}

/** Works, but somebody should know. */
export function warn(what: string, trouble: Trouble): Finding {
  return { level: 'warn', what, ...trouble };
}

export function fail(what: string, trouble: Trouble): Finding {
  return { level: 'FAIL', what, ...trouble };
}
