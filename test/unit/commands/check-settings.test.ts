import { describe, expect, test } from 'vitest';
import { checkSettings } from '../../../src/commands/checks/settings.ts';
import { readConfigParts } from '../../../src/config/config.ts';
import { USABLE } from '../config/usable-environment.ts';

/** The warnings of `check` about the settings, with these vendor domains by country. */
function warningsFor(countries: readonly string[]): readonly string[] {
  const urls = Object.fromEntries(countries.map((country) => [country, `https://${country.toLowerCase()}.example`]));
  const parts = readConfigParts({ ...USABLE, VENDOR_REGION_URLS: JSON.stringify(urls) });
  const results = checkSettings(parts, 'production');
  return results.flatMap((result) => (result.level === 'warn' ? [`${result.detail}. ${result.fix}`] : []));
}

describe('a vendor domain for a country', () => {
  test('that no new account can have gets a warning, because accounts of older versions may have it', () => {
    const [warning, ...others] = warningsFor(['CN', 'UK', 'XK']);
    expect(warning).toMatch(/VENDOR_REGION_URLS.*\(UK, XK\).*GB/);
    expect(others).toEqual([]);
  });

  test('that is assigned gets none', () => expect(warningsFor(['CN', 'GB'])).toEqual([]));
});
