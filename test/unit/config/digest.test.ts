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

  test.each<Environment>([
    { VENDOR_APP_ID: 'app-2' },
    { VENDOR_ACCESS_ID: 'access-2' },
    { SESSION_JWT_ISSUER: 'https://other.example' },
    { VENDOR_MAX_RPS: '11' },
    { REFRESH_AT: '0.6-0.9' },
    { TERMINAL_POLICY: 'single' },
    { REDIS_KEY_PREFIX: 'other' },
  ])('changes with %o', (changes) => {
    expect(digestOf(changes)).not.toBe(digestOf());
    expect(digestOf({ ...REDIS, ...changes })).not.toBe(digestOf(REDIS));
  });

  test.each<Environment>([
    { HOST: '127.0.0.1' },
    { PORT: '1234' },
    { ADMIN_PORT: '1235' },
    { LOG_LEVEL: 'debug' },
    { OTEL_RESOURCE_ATTRIBUTES: 'k8s.pod.name=broker-1' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://10.0.0.7:4318', OTEL_EXPORTER_OTLP_HEADERS: 'api-key=secret' },
  ])('stays with %o, which may differ between replicas', (changes) => {
    expect(digestOf(changes)).toBe(digestOf());
    expect(digestOf({ ...REDIS, ...changes })).toBe(digestOf(REDIS));
  });

  test.each(SECRETS)('changes with the secret %o if there are encryption keys', (secret) => {
    expect(digestOf({ ...REDIS, ...secret })).not.toBe(digestOf(REDIS));
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
