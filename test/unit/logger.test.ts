import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { createLogger } from '../../src/logger.ts';
import { BrokerError } from '../../src/token/errors.ts';
import { captureLog } from '../support/captured-log.ts';

const SECRETS = ['authorization', 'cookie', 'session', 'accessToken', 'appKey', 'appToken', 'unionId', 'uniqueId'];

/** What the log has about an error that was thrown. */
function describedError(error: unknown): Record<string, unknown> {
  const { logger, lines } = captureLog('info');
  logger.error({ err: error }, 'it failed');
  return lines()[0]?.['err'] as Record<string, unknown>;
}

describe('a log line', () => {
  test('is JSON with the instant, the level in words and the message, and nothing about the machine', () => {
    const { logger, lines } = captureLog('info');
    logger.warn({ role: 'commands' }, 'connection lost');
    expect(lines()).toEqual([
      {
        level: 'warn',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        role: 'commands',
        msg: 'connection lost',
      },
    ]);
  });

  test('is not written below the level that was asked for', () => {
    const { logger, lines } = captureLog('warn');
    logger.info({}, 'not this');
    logger.warn({}, 'but this');
    expect(lines()).toMatchObject([{ msg: 'but this' }]);
    expect(createLogger('silent').isLevelEnabled('fatal')).toBe(false);
  });

  test.each([...SECRETS, 'body', 'headers'])('hides %s, on its own and two levels down', (name) => {
    const { logger, text, lines } = captureLog('info');
    const secret = { [name]: 'canary' };
    logger.info({ ...secret, one: secret, list: [secret], two: { deep: secret } }, 'a whole object');
    const hidden = { [name]: '[redacted]' };
    expect(text()).not.toContain('canary');
    expect(lines()).toMatchObject([{ ...hidden, one: hidden, list: [hidden], two: { deep: hidden } }]);
  });

  test('hides them from child loggers too', () => {
    const { logger, text } = captureLog('info');
    logger.child({ unionId: 'canary-1' }).info({ session: 'canary-2' }, 'a child');
    expect(text()).toContain('a child');
    expect(text()).not.toContain('canary');
  });
});

describe('a logged error', () => {
  test('shows its kind, code, message and stack', () => {
    const error = Object.assign(new TypeError('no route'), { code: 'EHOSTUNREACH' });
    expect(describedError(error)).toEqual({
      type: 'TypeError',
      code: 'EHOSTUNREACH',
      message: 'no route',
      stack: error.stack,
    });
  });

  test('loses whatever a library hung on it, in its causes as well', () => {
    const cause = Object.assign(new Error('refused'), { request: { body: 'canary' }, token: 'canary' });
    const error = Object.assign(new Error('failed', { cause }), { response: 'canary', options: { key: 'canary' } });
    const described = describedError(error);
    expect(JSON.stringify(described)).not.toContain('canary');
    expect(described).toEqual({
      type: 'Error',
      message: 'failed',
      stack: error.stack,
      cause: { type: 'Error', message: 'refused', stack: cause.stack },
    });
  });

  test('from Redis loses the command’s arguments', async () => {
    const redis = new Redis(inject('redisUrl'));
    onTestFinished(() => redis.disconnect());
    const error = await redis.call('OBJECT', 'ENCODING-OF', 'canary').catch((thrown: unknown) => thrown);
    expect(JSON.stringify(error)).toContain('canary');
    const described = describedError(error);
    expect(described).toMatchObject({ type: 'ReplyError' });
    expect(JSON.stringify(described)).not.toContain('canary');
  });

  test('that was expected needs no stack, and shows its causes one after the other', () => {
    const cause = new Error('login failed', { cause: new BrokerError('internal', { cause: 'a string: canary' }) });
    expect(describedError(new BrokerError('vendor_rejected', { detail: 'no', vendorCode: 10007, cause }))).toEqual({
      type: 'BrokerError',
      code: 'vendor_rejected',
      message: 'no',
      cause: {
        type: 'Error',
        message: 'login failed',
        stack: cause.stack,
        cause: {
          type: 'BrokerError',
          code: 'internal',
          message: 'The broker failed',
          cause: { type: 'string', message: 'the thrown value is not an Error' },
        },
      },
    });
  });

  test.each(['canary', { token: 'canary' }, 7, null])(
    'that is no Error at all shows only what it was: %j',
    (thrown) => {
      expect(describedError(thrown)).toEqual({
        type: typeof thrown,
        message: 'the thrown value is not an Error',
      });
    },
  );
});
