import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface RawConnection {
  readonly socket: Socket;
  /** Everything that the server has sent. */
  received(): string;
  /** Resolves when the server ends or resets the connection. Rejects after `timeoutMs`. */
  ended(timeoutMs: number): Promise<void>;
}

/** A connection that sends exactly these bytes. It stays half open after the server has ended it. */
export async function sendRaw(url: string, bytes: string): Promise<RawConnection> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  const chunks: Buffer[] = [];
  const closed = new Promise<void>((resolve) => {
    socket.once('end', resolve).once('close', resolve);
  });
  // The server may reset the connection at any time.
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await Promise.race([once(socket, 'connect'), closed]);
  socket.write(bytes, 'latin1');
  return {
    socket,
    received: () => Buffer.concat(chunks).toString('latin1'),
    async ended(timeoutMs) {
      const timer = new AbortController();
      const late = sleep(timeoutMs, undefined, { signal: timer.signal }).then(() => {
        throw new Error(`the server has not ended the connection after ${timeoutMs} ms`);
      });
      await Promise.race([closed, late]).finally(() => timer.abort());
    },
  };
}

/** Sends a body of 60,000 bytes in three parts: the system reports a reset by the other side to the second write. */
export async function sendLateBody(socket: Socket): Promise<void> {
  for (let part = 0; part < 3; part += 1) {
    socket.write('x'.repeat(20_000));
    await sleep(20);
  }
}
