import { type BrokerError, networkTimeout } from './broker-error.js';

/** One call of the app. It ends at its deadline, or at a logout. What it has waited for continues after that. */
export class Call {
  private readonly endsAt: number;
  private readonly timer: ReturnType<typeof setTimeout>;
  private error: BrokerError | undefined;
  private reject: (error: BrokerError) => void = () => undefined;
  private readonly ended = new Promise<never>((_, reject) => {
    this.reject = reject;
  });

  constructor(deadlineMs: number) {
    this.endsAt = Date.now() + deadlineMs;
    this.timer = setTimeout(() => this.end(networkTimeout()), deadlineMs);
    this.ended.catch(() => undefined);
  }

  get isOver(): boolean {
    return this.error !== undefined;
  }

  /** Whoever waits for something in this call gets the error. */
  end(error: BrokerError): void {
    this.error = this.error ?? error;
    clearTimeout(this.timer);
    this.reject(error);
  }

  throwIfOver(): void {
    if (this.error) throw this.error;
  }

  hasTimeFor(ms: number): boolean {
    return Date.now() + ms < this.endsAt;
  }

  /** @throws BrokerError as soon as the call is over */
  waitFor<Result>(promise: Promise<Result>): Promise<Result> {
    return Promise.race([this.ended, promise]);
  }

  /** Waits no longer than until the call is over, and rejects then. */
  sleep(ms: number): Promise<void> {
    return this.waitFor(new Promise((resolve) => setTimeout(resolve, ms)));
  }
}
