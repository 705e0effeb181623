import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../../src/http/openapi-document.ts';
import { problem } from '../../../src/http/schemas.ts';
import { ERRORS, type ErrorCode } from '../../../src/token/errors.ts';

interface DocumentedAnswer {
  readonly headers: Record<string, unknown>;
  readonly content?: Record<string, { readonly examples: Record<string, { readonly value: unknown }> }>;
}

interface Operation {
  readonly operationId: string;
  readonly tags: string[];
  readonly security: object[];
  readonly parameters?: { readonly name: string; readonly required: boolean }[];
  readonly responses: Record<string, DocumentedAnswer>;
}

interface Described {
  readonly openapi: string;
  readonly paths: Record<string, { readonly get: Operation }>;
  readonly components: { readonly schemas: object };
}

const documented = async () => (await openApiDocument('1.2.3')) as Described;

describe('the OpenAPI document', () => {
  it('is the same each time it is made', async () => {
    expect(JSON.stringify(await openApiDocument('1.2.3'))).toBe(JSON.stringify(await openApiDocument('1.2.3')));
  });

  it('is OpenAPI 3.1 of every public route, each with an id, a tag and its security', async () => {
    const { openapi, paths } = await documented();
    expect(openapi).toBe('3.1.0');
    expect(Object.entries(paths).map(([path, { get }]) => [path, get.operationId, get.tags, get.security])).toEqual([
      ['/sdk-token', 'getSdkToken', ['sdk-token'], [{ session: [] }]],
      ['/livez', 'getLiveness', ['health'], []],
      ['/readyz', 'getReadiness', ['health'], []],
    ]);
  });

  it('has the parameters of a token read', async () => {
    const { paths } = await documented();
    expect(paths['/sdk-token']?.get.parameters?.map(({ name, required }) => [name, required])).toEqual([
      ['uniqueId', true],
      ['app', false],
      ['regRegion', false],
    ]);
  });

  it('shows every error of a token read by a true example under its status', async () => {
    const { paths } = await documented();
    const shown = Object.entries(paths['/sdk-token']?.get.responses ?? {}).flatMap(([status, { content }]) =>
      Object.entries(content?.['application/problem+json']?.examples ?? {}).map(([code, { value }]) => {
        expect(problem.parse(value)).toMatchObject({ code, status: Number(status) });
        return code as ErrorCode;
      }),
    );
    expect(shown.toSorted()).toEqual(
      Object.keys(ERRORS)
        .filter((code) => code !== 'not_found')
        .toSorted(),
    );
  });

  it('tells of the headers an app acts on', async () => {
    const { paths } = await documented();
    const responses = paths['/sdk-token']?.get.responses ?? {};
    const named = Object.fromEntries(
      Object.entries(responses).map(([status, { headers }]) => [status, Object.keys(headers)]),
    );
    expect(named).toMatchObject({
      200: ['X-Request-Id', 'ETag', 'Cache-Control'],
      304: ['X-Request-Id', 'ETag', 'Cache-Control'],
      401: ['X-Request-Id', 'WWW-Authenticate'],
      429: ['X-Request-Id', 'Retry-After'],
      503: ['X-Request-Id', 'Retry-After'],
      504: ['X-Request-Id', 'Retry-After'],
    });
    expect(responses['304']).not.toHaveProperty('content');
  });

  it('keeps no schema that nothing refers to', async () => {
    const described = await documented();
    const text = JSON.stringify(described);
    for (const name of Object.keys(described.components.schemas)) {
      expect(text).toContain(`"#/components/schemas/${name}"`);
    }
  });
});
