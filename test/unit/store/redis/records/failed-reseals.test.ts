import { expect, test } from 'vitest';
import type { RedisCommands } from '../../../../../src/store/redis/connection/commands.ts';
import { Resealing } from '../../../../../src/store/redis/records/resealing.ts';
import { TokenCipher } from '../../../../../src/store/redis/records/token-cipher.ts';
import { BrokerError } from '../../../../../src/token/errors.ts';
import { newKey } from '../../../../support/filled-store.ts';

/** As many texts as may be sealed again at the same time. */
const MOST = 64;
const OLD = newKey('old');

test('texts that could not be sealed again do not keep later ones from it', async () => {
  const answers: (() => Promise<unknown>)[] = [];
  let asked = 0;
  const script = () => {
    asked += 1;
    return answers.shift()?.() ?? Promise.resolve(1);
  };
  const additionalData = Buffer.from('a key');
  const sealed = new TokenCipher([OLD]).seal(Buffer.from('a record'), additionalData);
  const field = { key: 'key', field: 'field', headLength: 0, sealed, additionalData };
  const resealing = new Resealing({ script } as unknown as RedisCommands, new TokenCipher([newKey('new'), OLD]));

  const failures: (() => void)[] = [];
  for (let text = 0; text < MOST; text += 1) {
    answers.push(() => new Promise((_, reject) => failures.push(() => reject(new BrokerError('store_unavailable')))));
    resealing.start(field);
  }
  resealing.start(field);
  expect(asked).toBe(MOST);
  for (const fail of failures) fail();
  await new Promise(setImmediate);
  resealing.start(field);
  expect(asked).toBe(MOST + 1);
});
