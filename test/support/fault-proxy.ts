import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What becomes of the traffic: `refuse` connections, `hang` without passing anything on, `delay` each piece of a reply,
 * `cut` a connection in the middle of its next reply, `throttle` replies to so many bytes a second.
 */
export type ProxyFault =
  | { readonly kind: 'none' | 'refuse' | 'hang' | 'cut' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number };

export interface FaultProxy {
  readonly port: number;
  /** What befalls connections that exist, and those to come. */
  set(fault: ProxyFault): void;
  close(): Promise<void>;
}

/** A TCP proxy on loopback that plays a bad network in front of `target`. */
export async function startFaultProxy(target: number): Promise<FaultProxy> {
  let fault: ProxyFault = { kind: 'none' };
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (fault.kind === 'refuse') return void client.destroy();
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    void carry(client, upstream, async () => fault.kind !== 'hang');
    void carry(upstream, client, async (piece) => {
      if (fault.kind === 'delay') await sleep(fault.ms);
      if (fault.kind === 'throttle') await sleep((piece.length / fault.bytesPerSecond) * 1_000);
      if (fault.kind !== 'cut') return fault.kind !== 'hang';
      client.end(piece.subarray(0, Math.ceil(piece.length / 2)));
      return false;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    set(next) {
      fault = next;
      // A peer that refuses has no connections left; one that is well again does not remember what it swallowed.
      if (next.kind === 'refuse' || next.kind === 'none') for (const socket of sockets) socket.destroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Passes on what `pass` lets through, in order. */
async function carry(from: Socket, to: Socket, pass: (piece: Buffer) => Promise<boolean>): Promise<void> {
  try {
    for await (const piece of from) {
      if ((await pass(piece)) && to.writable) to.write(piece);
    }
  } catch {
    to.destroy();
  }
}
