/** A session server answered with another HTTP status than 200, which is no verdict on a session. */
export class UnexpectedStatus extends Error {
  override readonly name = 'UnexpectedStatus';
  readonly status: number;

  /** @param whose the URL that answered, as the beginning of a sentence */
  constructor(whose: string, status: number) {
    super(`${whose} answered ${status} instead of 200`);
    this.status = status;
  }
}
