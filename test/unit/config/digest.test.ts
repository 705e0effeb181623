import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import type { Environment } from '../../../src/config/environment.ts';
import { USABLE } from './usable-environment.ts';

const digestOf = (changes: Environment = {}) => loadConfig({ ...USABLE, ...changes }).digest;
const newKey = () => randomBytes(32).toString('base64');
const REDIS = { REDIS_URL: 'redis://:hunter2@redis.example', TOKEN_ENCRYPTION_KEYS: `k1:${newKey()}` };
const SECRETS: Environment[] = [
  { VENDOR_APP_TOKEN: 'another-app-token' },
  { VENDOR_APP_KEY: 'another-app-key' },
  { ADMIN_TOKEN: 'an-admin-token-of-32-characters-or-more' },
  { SESSION_JWT_SECRET: 'a-secret-of-32-characters-or-more', SESSION_JWT_JWKS_URL: undefined },
];

describe('the digest of a configuration', () => {
  test('is short, and the same for the same settings', () => {
    expect(digestOf()).toMatch(/^[0-9a-f]{12}$/);
    expect(digestOf({ REFRESH_AT: '0.7-0.9', VENDOR_REGION_URLS: '{}' })).toBe(digestOf());
    expect(digestOf({ REFRESH_MODE: 'proactive', API_DOCS: 'true', VENDOR_ACCESS_ID: USABLE['VENDOR_APP_ID'] })).toBe(
      digestOf(),
    );
  });

  test('changes with each encryption key and with the password of Redis', () => {
    const rotated = { ...REDIS, TOKEN_ENCRYPTION_KEYS: `k2:${newKey()},${REDIS.TOKEN_ENCRYPTION_KEYS}` };
    expect(digestOf(rotated)).not.toBe(digestOf(REDIS));
    expect(digestOf({ ...REDIS, REDIS_URL: 'redis://:hunter3@redis.example' })).not.toBe(digestOf(REDIS));
  });

  // Anyone who sees the digest and knows the other settings could try guesses.
  test.each(SECRETS)('says nothing about the secret %o without encryption keys', (secret) => {
    expect(digestOf(secret)).toBe(digestOf());
    const off = { REDIS_URL: 'redis://:hunter2@redis.example', TOKEN_ENCRYPTION_KEYS: 'off' };
    expect(digestOf({ ...off, ...secret, REDIS_URL: 'redis://:hunter3@redis.example' })).toBe(digestOf(off));
  });
});
