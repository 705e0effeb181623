import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

/** A command as the monitor of Redis shows it. */
export interface MonitoredCommand {
  /** Epoch seconds. */
  readonly at: number;
  readonly isOfScript: boolean;
  /** Its name, and its arguments. */
  readonly words: readonly string[];
}

const COMMAND = /^\+(\d+\.\d+) \[\d+ (\S+)\] (.*)$/;
const WORD = /"((?:[^"\\]|\\.)*)"/g;

/**
 * Calls `listener` for each command of any client until the end of the test. The monitor of ioredis fails if the first
 * command arrives together with the answer to MONITOR, as it does on a busy server.
 */
export async function monitorRedis(url: string, listener: (command: MonitoredCommand) => void): Promise<void> {
  const { hostname, port, username, password } = new URL(url);
  const requests = [...(password ? [`AUTH ${username || 'default'} ${decodeURIComponent(password)}`] : []), 'MONITOR'];
  const socket = connect(Number(port || 6_379), hostname);
  onTestFinished(() => void socket.destroy());
  socket.write(requests.map((request) => `${request}\r\n`).join(''));
  let unanswered = requests.length;
  await new Promise<void>((resolve) => {
    createInterface(socket).on('line', (line) => {
      if (line === '+OK') unanswered -= 1;
      if (unanswered === 0) resolve();
      const [, at, source, words = ''] = COMMAND.exec(line) ?? [];
      if (at === undefined) return;
      const all = Array.from(words.matchAll(WORD), ([, word = '']) => word);
      listener({ at: Number(at), isOfScript: source === 'lua', words: all });
    });
  });
}
