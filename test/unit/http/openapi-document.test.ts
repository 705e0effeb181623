import { describe, expect, it } from 'vitest';
import { internalOpenApiDocument, openApiDocument } from '../../../scripts/openapi-document.ts';
import { problem } from '../../../src/http/problem.ts';
import { ERRORS, type ErrorCode } from '../../../src/token/errors.ts';

interface DocumentedAnswer {
  readonly headers: Record<string, unknown>;
  readonly content?: Record<string, { readonly examples: Record<string, { readonly value: unknown }> }>;
}

interface Operation {
  readonly operationId: string;
  readonly tags: string[];
  readonly security: object[];
  readonly parameters?: { readonly in: string; readonly name: string; readonly required: boolean }[];
  readonly responses: Record<string, DocumentedAnswer>;
}

interface Described {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: object };
}

const documented = async () => (await openApiDocument('1.2.3')) as Described;
const internal = async () => (await internalOpenApiDocument('1.2.3')) as Described;

function operations({ paths }: Described) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, ...operation })),
  );
}

describe.each([
  ['public', openApiDocument],
  ['internal', internalOpenApiDocument],
])('the %s OpenAPI document', (_api, make) => {
  it('is the same every time', async () => {
    expect(JSON.stringify(await make('1.2.3'))).toBe(JSON.stringify(await make('1.2.3')));
  });

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

  it('has no empty list of examples', async () => {
    expect(JSON.stringify(await make('1.2.3'))).not.toContain('"examples":{}');
  });

  it('has no unused schema', async () => {
    const described = (await make('1.2.3')) as Described;
    const text = JSON.stringify(described);
    expect(Object.keys(described.components.schemas)).not.toEqual([]);
    for (const name of Object.keys(described.components.schemas)) {
      expect(text).toContain(`"#/components/schemas/${name}"`);
    }
  });
});

describe('the OpenAPI document', () => {
  it('describes every public route in OpenAPI 3.1, with an id, a tag and its security', async () => {
    const described = await documented();
    expect(described.openapi).toBe('3.1.0');
    expect(
      operations(described).map(({ name, operationId, tags, security }) => [name, operationId, tags, security]),
    ).toEqual([
      ['get /sdk-token', 'getSdkToken', ['sdk-token'], [{ session: [] }]],
      ['delete /sdk-token', 'logOut', ['sdk-token'], [{ session: [] }]],
      ['get /livez', 'getLiveness', ['health'], []],
      ['get /readyz', 'getReadiness', ['health'], []],
    ]);
  });

  it('lists the parameters of a token read and of a logout', async () => {
    const { paths } = await documented();
    const parametersOf = (method: string) =>
      paths['/sdk-token']?.[method]?.parameters?.map(({ in: place, name, required }) => [place, name, required]);
    expect(parametersOf('get')).toEqual([
      ['query', 'uniqueId', true],
      ['query', 'app', false],
      ['query', 'regRegion', false],
      ['header', 'If-None-Match', false],
      ['header', 'Cache-Control', false],
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
      (Object.keys(ERRORS) as ErrorCode[]).filter((code) => code !== 'not_found').toSorted(),
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

describe('the internal OpenAPI document', () => {
  it('describes every internal route in OpenAPI 3.1; all but the console, health and metrics need the admin token', async () => {
    const described = await internal();
    expect(described.openapi).toBe('3.1.0');
    const admin = [{ adminToken: [] }];
    expect(
      operations(described).map(({ name, operationId, tags, security }) => [name, operationId, tags, security]),
    ).toEqual([
      ['get /accounts/{unionId}', 'getAccount', ['accounts'], admin],
      ['delete /accounts/{unionId}', 'eraseAccount', ['accounts'], admin],
      ['post /accounts/lookup', 'lookUpAccounts', ['accounts'], admin],
      ['put /accounts/{unionId}/access-id', 'obtainAccessId', ['accounts'], admin],
      ['get /accounts/{unionId}/terminals/{uniqueId}/sdk-token', 'getTerminalToken', ['terminals'], admin],
      ['delete /accounts/{unionId}/terminals/{uniqueId}', 'logTerminalOut', ['terminals'], admin],
      ['get /status', 'getStatus', ['status'], admin],
      ['get /console', 'getConsole', ['status'], []],
      ['get /livez', 'getLiveness', ['health'], []],
      ['get /readyz', 'getReadiness', ['health'], []],
      ['get /metrics', 'getMetrics', ['metrics'], []],
    ]);
  });
});
