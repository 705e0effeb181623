import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWithTest } from './end-with-test.ts';
import { listening } from './listening.ts';

/**
 * - `refuse`: close every connection.
 * - `hang`: keep connections open, but forward nothing. What was sent meanwhile is lost.
 * - `stall`: keep connections open, and forward what was sent meanwhile after the fault.
 * - `cut`: close a connection in the middle of its next reply.
 * - `delay`: delay each piece of a reply.
 * - `throttle`: limit replies to this number of bytes per second.
 */
export type ProxyFault =
  | { readonly kind: 'none' | 'refuse' | 'hang' | 'stall' | 'cut' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number };

export interface FaultProxy {
  readonly port: number;
  /** Applies the fault to existing and future connections. */
  set(fault: ProxyFault): void;
  /** Leads future connections to another port, as a change of an address does. */
  leadTo(port: number): void;
  close(): Promise<void>;
}

/**
 * Starts a TCP proxy on loopback that simulates a faulty network in front of the port `target`. It ends with the test.
 */
export async function startFaultProxy(target: number, ownPort = 0): Promise<FaultProxy> {
  let port = target;
  let fault: ProxyFault = { kind: 'none' };
  let stalled = Promise.resolve();
  let endStall = (): void => undefined;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (fault.kind === 'refuse') return void client.destroy();
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        // What was sent during a stall still arrives after it, as on a real network.
        void stalled.then(() =>
          setImmediate(() => {
            client.destroy();
            upstream.destroy();
          }),
        );
      });
    }
    void forward(client, upstream, async () => {
      await stalled;
      return fault.kind !== 'hang';
    });
    void forward(upstream, client, async (piece) => {
      await stalled;
      if (fault.kind === 'delay') await sleep(fault.ms);
      if (fault.kind === 'throttle') await sleep((piece.length / fault.bytesPerSecond) * 1_000);
      if (fault.kind !== 'cut') return fault.kind !== 'hang';
      client.end(piece.subarray(0, Math.ceil(piece.length / 2)));
      return false;
    });
  });
  const { port: listensOn, close } = await listening(server, ownPort);
  return {
    port: listensOn,
    set(next) {
      const wasStalled = fault.kind === 'stall';
      fault = next;
      endStall();
      if (next.kind === 'stall') {
        stalled = new Promise((resolve) => {
          endStall = resolve;
        });
      }
      // `refuse` closes existing connections. After most faults they are useless: a part of their traffic is lost.
      const isUseless = next.kind === 'none' && !wasStalled;
      if (next.kind === 'refuse' || isUseless) for (const socket of sockets) socket.destroy();
    },
    leadTo(next) {
      port = next;
    },
    close: endWithTest(async () => {
      endStall();
      for (const socket of sockets) socket.destroy();
      await close();
    }),
  };
}

/** Forwards each piece for which `pass` resolves to true, in order. */
async function forward(from: Socket, to: Socket, pass: (piece: Buffer) => Promise<boolean>): Promise<void> {
  try {
    for await (const piece of from) {
      if ((await pass(piece)) && to.writable) to.write(piece);
    }
  } catch {
    to.destroy();
  }
}
