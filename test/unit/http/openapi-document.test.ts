import { describe, expect, it } from 'vitest';
import { internalOpenApiDocument, openApiDocument } from '../../../scripts/openapi-document.ts';
import { problem } from '../../../src/http/problem.ts';
import { ERRORS } from '../../../src/token/errors.ts';

interface DocumentedAnswer {
  readonly content?: Record<string, { readonly examples: Record<string, { readonly value: unknown }> }>;
}

interface Operation {
  readonly responses: Record<string, DocumentedAnswer>;
}

interface Described {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: object };
}

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

it('the OpenAPI document shows every error of a token read', async () => {
  const { paths } = (await openApiDocument('1.2.3')) as Described;
  const shown = Object.values(paths['/sdk-token']?.['get']?.responses ?? {}).flatMap(({ content }) =>
    Object.keys(content?.['application/problem+json']?.examples ?? {}),
  );
  expect(shown.toSorted()).toEqual(
    Object.keys(ERRORS)
      .filter((code) => code !== 'not_found' && code !== 'method_not_allowed')
      .toSorted(),
  );
});
