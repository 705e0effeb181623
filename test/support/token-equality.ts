import { expect } from 'vitest';
import type { SdkToken } from '../../src/token/sdk-token.ts';

/** From now on, `toEqual` compares the fields of tokens also where a token in memory reads them from its answer. */
export function compareFieldsOfTokens(): void {
  expect.addEqualityTesters([
    function equalTokens(one, other) {
      if (!isToken(one) || !isToken(other) || !(readsFields(one) || readsFields(other))) return undefined;
      return this.equals([one.fields, one.issuedAt, one.expiresAt], [other.fields, other.issuedAt, other.expiresAt]);
    },
  ]);
}

/** Whether the fields are read from the answer at each use. Test files share the testers, so other tokens are left alone. */
function readsFields(token: SdkToken): boolean {
  return !Object.hasOwn(token, 'fields');
}

function isToken(value: unknown): value is SdkToken {
  return typeof value === 'object' && value !== null && 'fields' in value && 'expiresAt' in value;
}
