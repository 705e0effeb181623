import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Many open, idle connections that send one request at the same moment. */
export class SimultaneousRequests {
  readonly #sockets: readonly Socket[];

  private constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets;
  }

  /** Opens `size` connections, distributed evenly over the servers. */
  static async open(urls: readonly string[], size: number): Promise<SimultaneousRequests> {
    const sockets = Array.from({ length: size }, async (_, index) => {
      const { port, hostname } = new URL(urls[index % urls.length] ?? '');
      const socket = connect({ port: Number(port), host: hostname, noDelay: true });
      await once(socket, 'connect');
      return socket;
    });
    return new SimultaneousRequests(await Promise.all(sockets));
  }

  /**
   * Requests a token on all connections at the same moment.
   * @returns ms until the first bytes of the last answer arrived
   * @throws Error if one of the answers is not a token
   */
  async send(uniqueId: string, session: string): Promise<number> {
    const head = [
      `GET /sdk-token?uniqueId=${uniqueId} HTTP/1.1`,
      'Host: 127.0.0.1',
      `Authorization: Bearer ${session}`,
    ];
    const request = `${head.join('\r\n')}\r\n\r\n`;
    const startedAt = performance.now();
    const answers = this.#sockets.map(async (socket) => {
      socket.write(request);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      const [statusLine = ''] = answer.toString('latin1', 0, 64).split('\r\n');
      if (!statusLine.startsWith('HTTP/1.1 200'))
        throw new Error(`Invalid run: a request was answered with ${statusLine}`);
    });
    await Promise.all(answers);
    return performance.now() - startedAt;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
