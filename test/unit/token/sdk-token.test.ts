import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { serveToken } from '../../../src/token/sdk-token.ts';
import { wellFormedText } from '../../support/any-text.ts';
import { tokenRecord } from './records.ts';

const anyFields = fc.dictionary(wellFormedText(), wellFormedText(), { maxKeys: 8 });

describe('a token in an answer', () => {
  test('has exactly the vendor’s fields as its body, in ASCII', () => {
    fc.assert(
      fc.property(anyFields, (fields) => {
        const { body } = serveToken(tokenRecord({ token: { fields } }));
        expect(JSON.parse(body)).toEqual(JSON.parse(JSON.stringify(fields)));
        expect(body).not.toMatch(/[^ -\u007f]/);
      }),
    );
  });

  test('has a strong entity tag of 128 bits', () => {
    expect(serveToken(tokenRecord()).etag).toMatch(/^"[A-Za-z0-9_-]{22}"$/);
  });

  test('has a tag that depends only on the token: not on replica, generation or read flag', () => {
    const { etag } = serveToken(tokenRecord());
    expect(serveToken(tokenRecord({ generation: 7, read: true, unreadRenewals: 3 })).etag).toBe(etag);
  });

  test('has another tag if any field differs', () => {
    const { fields } = tokenRecord().token;
    const { etag } = serveToken(tokenRecord());
    for (const name of Object.keys(fields)) {
      const other = tokenRecord({ token: { fields: { ...fields, [name]: 'other' } } });
      expect(serveToken(other).etag).not.toBe(etag);
    }
  });
});
