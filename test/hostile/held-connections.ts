import { onTestFinished } from 'vitest';
import { type RawConnection, sendRaw } from '../support/raw-connection.ts';

/** Holds `count` connections that sent these bytes, until the test ends. */
export async function holdConnections(url: string, count: number, bytes: string): Promise<RawConnection[]> {
  const held = await Promise.all(Array.from({ length: count }, () => sendRaw(url, bytes)));
  onTestFinished(() => {
    for (const { socket } of held) socket.destroy();
  });
  return held;
}
