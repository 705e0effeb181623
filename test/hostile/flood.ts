import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

const TICK_MS = 20;

interface FloodOptions {
  /** Connections that stay open. Beyond them, the oldest is closed. */
  readonly held: number;
  readonly perSecond: number;
  /** What a connection sends once it is open. */
  readonly request: (number: number) => string;
  readonly localAddress?: string;
}

/** Opens connections from now until the test ends. Resolves when the first `held` have been opened. */
export async function startFlood(url: string, { held, perSecond, request, localAddress }: FloodOptions) {
  const { hostname: host, port } = new URL(url);
  const open = new Set<Socket>();
  let opened = 0;
  const openOne = () => {
    const socket = connect({ host, port: Number(port), ...(localAddress !== undefined && { localAddress }) });
    opened += 1;
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
    socket.resume().write(request(opened));
    const [oldest] = open;
    if (open.size > held) oldest?.destroy();
  };
  const perTick = (perSecond * TICK_MS) / 1_000;
  // On a busy machine, ticks are late. Nothing is made up for.
  const timer = setInterval(() => {
    for (let number = 0; number < perTick; number += 1) openOne();
  }, TICK_MS);
  const stop = () => {
    clearInterval(timer);
    for (const socket of open) socket.destroy();
  };
  onTestFinished(stop);
  await new Promise<void>((resolve) => {
    const isFull = setInterval(() => {
      if (opened < held) return;
      clearInterval(isFull);
      resolve();
    }, TICK_MS);
  });
  return { opened: () => opened, stop };
}

/** Sends a request `delayMs` after its connection is open. @returns the status; 0 if the connection was closed */
export async function delayedRequest(url: string, request: string, delayMs: number): Promise<number> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port) });
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(() => []);
  const timer = setTimeout(() => socket.write(request), delayMs);
  const [answer] = await Promise.race([once(socket, 'data'), closed]).catch(() => []);
  clearTimeout(timer);
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d+)/.exec(String(answer))?.[1] ?? 0);
}
