import { describe, expect, it } from 'vitest';
import { requestedSubject, type SubjectRules } from '../../../src/http/requested-subject.ts';

const unionId = 'user-1';
const uniqueId = 'phone-1';
const ONE: SubjectRules = { apps: ['default'], terminalPolicy: 'multi' };
const TWO: SubjectRules = { apps: ['ios', 'android'], terminalPolicy: 'multi' };

const appOf = (rules: SubjectRules, bound: string | undefined, asked: string | undefined) =>
  requestedSubject(rules, { unionId, app: bound }, { uniqueId, ...(asked !== undefined && { app: asked }) }).app;

describe('the app', () => {
  it.each([
    [ONE, undefined, undefined, 'default'],
    [ONE, undefined, 'default', 'default'],
    [TWO, undefined, 'android', 'android'],
    [TWO, 'ios', undefined, 'ios'],
    [TWO, 'ios', 'ios', 'ios'],
  ])('is the session’s app, else the requested app, else the only app: %j, %s, %s → %s', (rules, bound, asked, app) => {
    expect(appOf(rules, bound, asked)).toBe(app);
  });

  it.each([
    [TWO, 'ios', 'android'],
    [TWO, 'ios', 'canary'],
    [TWO, 'canary', undefined],
    [TWO, 'canary', 'canary'],
    [ONE, 'canary', undefined],
    [ONE, 'canary', 'default'],
    [TWO, '', undefined],
  ])('is forbidden if the session is bound to another app: %j, %s, %s', (rules, bound, asked) => {
    expect(() => appOf(rules, bound, asked)).toThrow(
      expect.objectContaining({ code: 'session_forbidden', message: expect.not.stringContaining('canary') }),
    );
  });

  it.each([
    [TWO, undefined, 'app must be one of: ios, android'],
    [TWO, 'canary', 'app must be one of: ios, android'],
    [ONE, 'canary', 'app must be one of: default'],
  ])('must be a configured app, and the error lists them: %j, %s', (rules, asked, message) => {
    expect(() => appOf(rules, undefined, asked)).toThrow(expect.objectContaining({ code: 'request_invalid', message }));
  });
});

describe('the terminal', () => {
  const account = { unionId, app: undefined };

  it('is the requested terminal, which is required', () => {
    expect(requestedSubject(ONE, account, { uniqueId })).toEqual({ app: 'default', unionId, uniqueId });
    expect(() => requestedSubject(ONE, account, {})).toThrow(
      expect.objectContaining({
        code: 'request_invalid',
        message: 'uniqueId is required: 1 to 128 visible ASCII characters, and not . or .. alone',
      }),
    );
  });

  it('is the account itself under the single policy, whatever terminal is requested', () => {
    const single: SubjectRules = { ...ONE, terminalPolicy: 'single' };
    for (const asked of [{}, { uniqueId }, { uniqueId: 'phone-2' }]) {
      expect(requestedSubject(single, account, asked)).toEqual({ app: 'default', unionId, uniqueId: unionId });
    }
  });
});
