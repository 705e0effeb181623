import { describe, expect, it } from 'vitest';
import { internalOpenApiDocument, openApiDocument } from '../../../scripts/openapi-document.ts';
import { problem } from '../../../src/http/problem.ts';
import { ERRORS } from '../../../src/token/errors.ts';

interface DocumentedAnswer {
  readonly headers: Record<string, unknown>;
  readonly content?: Record<string, { readonly examples: Record<string, { readonly value: unknown }> }>;
}

interface Operation {
  readonly parameters?: { readonly in: string; readonly name: string; readonly required: boolean }[];
  readonly responses: Record<string, DocumentedAnswer>;
}

interface Described {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: object };
}

const documented = async () => (await openApiDocument('1.2.3')) as Described;

function operations({ paths }: Described): Operation[] {
  return Object.values(paths).flatMap((methods) => Object.values(methods));
}

describe.each([
  ['public', openApiDocument],
  ['internal', internalOpenApiDocument],
])('the %s OpenAPI document', (_api, make) => {
  it('shows a valid example of every error under its status', async () => {
    let shown = 0;
    for (const { responses } of operations((await make('1.2.3')) as Described)) {
      for (const [status, { content }] of Object.entries(responses)) {
        for (const [code, { value }] of Object.entries(content?.['application/problem+json']?.examples ?? {})) {
          expect(problem.parse(value)).toMatchObject({ code, status: Number(status) });
          shown++;
        }
      }
    }
    expect(shown).toBeGreaterThan(20);
  });

  it('has no unused schema, and no empty list of examples', async () => {
    const described = (await make('1.2.3')) as Described;
    const text = JSON.stringify(described);
    expect(text).not.toContain('"examples":{}');
    expect(Object.keys(described.components.schemas)).not.toEqual([]);
    for (const name of Object.keys(described.components.schemas)) {
      expect(text).toContain(`"#/components/schemas/${name}"`);
    }
  });
});

describe('the OpenAPI document', () => {
  it('lists the parameters of a token read and of a logout', async () => {
    const { paths } = await documented();
    const parametersOf = (method: string) =>
      paths['/sdk-token']?.[method]?.parameters?.map(({ in: place, name, required }) => [place, name, required]);
    expect(parametersOf('get')).toEqual([
      ['query', 'uniqueId', true],
      ['query', 'app', false],
      ['query', 'regRegion', false],
      ['query', 'refused', false],
      ['header', 'If-None-Match', false],
    ]);
    expect(parametersOf('delete')).toEqual([
      ['query', 'uniqueId', true],
      ['query', 'app', false],
    ]);
  });

  it('shows every error of a token read', async () => {
    const { paths } = await documented();
    const shown = Object.values(paths['/sdk-token']?.['get']?.responses ?? {}).flatMap(({ content }) =>
      Object.keys(content?.['application/problem+json']?.examples ?? {}),
    );
    expect(shown.toSorted()).toEqual(
      Object.keys(ERRORS)
        .filter((code) => code !== 'not_found' && code !== 'method_not_allowed')
        .toSorted(),
    );
  });

  it('describes the headers that an app needs', async () => {
    const { paths } = await documented();
    const responses = paths['/sdk-token']?.['get']?.responses ?? {};
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

  it('contains nothing of the internal API', async () => {
    const text = JSON.stringify(await documented());
    for (const word of ['/accounts', '/metrics', 'adminToken', '"Account"', '"Lookup"'])
      expect(text).not.toContain(word);
  });
});
