import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { createLogger } from '../../src/logger.ts';
import { BrokerError } from '../../src/token/errors.ts';
import { captureLog } from '../support/captured-log.ts';

const SECRETS = ['authorization', 'cookie', 'session', 'accessToken', 'appKey', 'appToken', 'unionId', 'uniqueId'];

/** An error as the log shows it. */
function describedError(error: unknown): Record<string, unknown> {
  const { logger, lines } = captureLog('info');
  logger.error({ err: error }, 'it failed');
  return lines()[0]?.['err'] as Record<string, unknown>;
}

describe('a log line', () => {
  test('is JSON with the time, the name of the level and the message, and nothing about the host', () => {
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

  test('is not written below the configured level', () => {
    const { logger, lines } = captureLog('warn');
    logger.info({}, 'not this');
    logger.warn({}, 'but this');
    expect(lines()).toMatchObject([{ msg: 'but this' }]);
    expect(createLogger('silent').isLevelEnabled('fatal')).toBe(false);
  });

  test.each([...SECRETS, 'body', 'headers'])('hides %s, at the top and up to two levels down', (name) => {
    const { logger, text, lines } = captureLog('info');
    const secret = { [name]: 'canary' };
    logger.info({ ...secret, one: secret, list: [secret], two: { deep: secret } }, 'a whole object');
    const hidden = { [name]: '[redacted]' };
    expect(text()).not.toContain('canary');
    expect(lines()).toMatchObject([{ ...hidden, one: hidden, list: [hidden], two: { deep: hidden } }]);
  });

  test('hides secrets of child loggers too', () => {
    const { logger, text } = captureLog('info');
    logger.child({ unionId: 'canary-1' }).info({ session: 'canary-2' }, 'a child');
    expect(text()).toContain('a child');
    expect(text()).not.toContain('canary');
  });
});

describe('a logged error', () => {
  test('shows its type, code, message and stack', () => {
    const error = Object.assign(new TypeError('no route'), { code: 'EHOSTUNREACH' });
    expect(describedError(error)).toEqual({
      type: 'TypeError',
      code: 'EHOSTUNREACH',
      message: 'no route',
      stack: error.stack,
    });
  });

  test('does not show fields that a library added, nor those of its causes', () => {
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

  test('from Redis does not show the arguments of the command', async () => {
    const redis = new Redis(inject('redisUrl'));
    onTestFinished(() => redis.disconnect());
    const error = await redis.call('OBJECT', 'ENCODING-OF', 'canary').catch((thrown: unknown) => thrown);
    expect(JSON.stringify(error)).toContain('canary');
    const described = describedError(error);
    expect(described).toMatchObject({ type: 'ReplyError' });
    expect(JSON.stringify(described)).not.toContain('canary');
  });

  test('that is expected has no stack, and shows the chain of its causes', () => {
    const cause = new Error('login failed', { cause: new BrokerError('internal', { cause: 'a string: canary' }) });
    expect(describedError(new BrokerError('vendor_rejected', { detail: 'no', vendorCode: 10007, cause }))).toEqual({
      type: 'BrokerError',
      code: 'vendor_rejected',
      message: 'no',
      cause: {
        type: 'Error',
        message: 'login failed',
        cause: {
          type: 'BrokerError',
          code: 'internal',
          message: 'The broker failed',
          cause: { type: 'string', message: 'the thrown value is not an Error' },
        },
      },
    });
  });

  test.each(['canary', { token: 'canary' }, 7, null])('that is not an Error shows only its type: %j', (thrown) => {
    expect(describedError(thrown)).toEqual({
      type: typeof thrown,
      message: 'the thrown value is not an Error',
    });
  });
});
