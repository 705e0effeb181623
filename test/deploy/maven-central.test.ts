import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { listening } from '../support/listening.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/release/maven-central.sh', import.meta.url));
const BUNDLE = fileURLToPath(import.meta.url);
const AUTHORIZATION = `Bearer ${Buffer.from('a-user:a-password').toString('base64')}`;

/** Plays Maven Central: it gives these answers to the questions about the deployment, and then the last one again. */
async function publish(answers: readonly object[], { alreadyPublished = false, longestSeconds = '60' } = {}) {
  const requests: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method, url = '', headers } = request;
    requests.push(`${method} ${url}`);
    if (headers.authorization !== AUTHORIZATION) return response.writeHead(401).end();
    if (url.startsWith('/published?')) return response.end(JSON.stringify({ published: alreadyPublished }));
    if (url.startsWith('/upload?')) return response.writeHead(201).end(body.includes('name="bundle"') ? 'an-id' : '');
    const asked = requests.filter((one) => one.startsWith('POST /status?')).length;
    return response.end(JSON.stringify(answers[asked - 1] ?? answers.at(-1)));
  });
  const env = {
    ...process.env,
    CENTRAL_USER: 'a-user',
    CENTRAL_PASSWORD: 'a-password',
    CENTRAL_API: (await listening(server)).url,
    CENTRAL_PAUSE_SECONDS: '0.01',
    CENTRAL_LONGEST_SECONDS: longestSeconds,
  };
  return new Promise<{ code: number; output: string; requests: readonly string[] }>((done) => {
    execFile(SCRIPT, [BUNDLE, '1.2.3'], { env }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, output: stdout + stderr, requests }),
    );
  });
}

const states = (...names: string[]) => names.map((deploymentState) => ({ deploymentState }));

test('the upload to Maven Central succeeds once the version is published, also if an answer is broken', async () => {
  const { code, requests } = await publish([
    ...states('PENDING', 'VALIDATING'),
    {},
    ...states('PUBLISHING', 'PUBLISHED'),
  ]);
  expect(code).toBe(0);
  expect(requests).toEqual([
    'GET /published?namespace=io.sdktokenbroker&name=sdk-token-client&version=1.2.3',
    'POST /upload?publishingType=AUTOMATIC&name=sdk-token-broker-1.2.3',
    ...Array(5).fill('POST /status?id=an-id'),
  ]);
});

test('the upload fails if Maven Central refuses the bundle afterwards, and says why', async () => {
  const errors = { 'pkg:maven/io.sdktokenbroker/sdk-token-client@1.2.3': ['Invalid signature'] };
  const { code, output } = await publish([...states('VALIDATING'), { deploymentState: 'FAILED', errors }]);
  expect(code).toBe(1);
  expect(output).toContain('Invalid signature');
});

test('the upload fails without a verdict', async () => {
  expect(await publish(states('PUBLISHING'), { longestSeconds: '1' })).toMatchObject({
    code: 1,
    output: expect.stringContaining('No verdict after 1 s'),
  });
});

test('a version that is published is not uploaded again', async () => {
  const { code, requests } = await publish([], { alreadyPublished: true });
  expect([code, requests.length]).toEqual([0, 1]);
});
