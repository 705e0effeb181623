import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';

/** An app that keeps its one connection and asks for one thing after the other. */
export class OneConnection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** @throws Error when the answer is no token */
  async getToken(uniqueId: string, session: string): Promise<void> {
    const headers = { authorization: `Bearer ${session}` };
    const outgoing = request(`${this.#url}/sdk-token?uniqueId=${uniqueId}`, { agent: this.#agent, headers }).end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    const body = await text(answer);
    if (answer.statusCode !== 200) throw new Error(`no token, but ${answer.statusCode}: ${body}`);
  }

  close(): void {
    this.#agent.destroy();
  }
}
