import { once } from 'node:events';
import { WebSocket } from 'undici';
import type { BrokerProcess } from './broker-process.ts';

/** Lets a replica listen for a debugger. A value of NODE_OPTIONS. */
export const INSPECT = '--inspect=127.0.0.1:0';

type Call = (method: string, params?: object) => Promise<unknown>;

/** Connects to V8 in a replica that {@link INSPECT} started, for the calls of one function. */
export async function debug<T>({ log }: Pick<BrokerProcess, 'log'>, calls: (call: Call) => Promise<T>): Promise<T> {
  const [, url = ''] = /Debugger listening on (ws:\S+)/.exec(log().join('\n')) ?? [];
  const debugging = new WebSocket(url);
  await once(debugging, 'open');
  try {
    return await calls(async (method, params = {}) => {
      debugging.send(JSON.stringify({ id: 1, method, params }));
      const [{ data }] = await once(debugging, 'message');
      return JSON.parse(data).result;
    });
  } finally {
    debugging.close();
  }
}
