import { randomUUID } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { subjectId } from '../../../../src/token/subject.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { newKey, openRedisStore, PATIENT, saveToken, type TestKey } from '../../../support/filled-store.ts';

const [FLEET, OTHER, SAME_ID] = [newKey('2026-11'), newKey('k9'), newKey('2026-11')];
const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** What a store with the keys `own` logs as it reads a token that a store with the keys `theirs` wrote. */
async function warningsOf(theirs: readonly TestKey[], own: readonly TestKey[]) {
  const [url, keyPrefix] = [inject('redisUrl'), `unreadable-${randomUUID()}`];
  const writer = await openRedisStore(url, keyPrefix, theirs);
  await saveToken(writer, SUBJECT);
  const { logger: log, lines } = captureLog('warn');
  const reader = await openRedisStore(url, keyPrefix, own, { ...PATIENT, log });
  const { record } = await reader.terminals.read(ID);
  const lease = await reader.terminals.acquire(ID, 1_000);
  expect(lease).toMatchObject({ kind: 'granted', current: record });
  return lines();
}

test.each([
  ['lacks the key', [OTHER], 'sealed under key 2026-11, which is not among them'],
  ['has another key of that id', [SAME_ID], 'damaged, or sealed under another key that was called 2026-11'],
  ['has no keys', [], 'sealed under key 2026-11, which is not among them'],
])(
  'a replica that %s logs each token that it cannot read, with the id of the key and no secret',
  async (_, own, reason) => {
    const warnings = await warningsOf([FLEET], own);
    const msg = expect.stringMatching(/^no key of TOKEN_ENCRYPTION_KEYS .*docs\/key-rotation\.md/);
    const line = { level: 'warn', time: expect.any(String), subject: ID, reason, msg };
    expect(warnings).toEqual([line, line]);
  },
);

test('a replica with the key logs nothing, also if another one encrypts', async () => {
  expect(await warningsOf([FLEET], [OTHER, FLEET])).toEqual([]);
});
