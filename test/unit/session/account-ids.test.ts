import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ForwardVerifier } from '../../../src/session/forward-verifier.ts';
import { IntrospectionVerifier } from '../../../src/session/introspection-verifier.ts';
import { JwtVerifier } from '../../../src/session/jwt-verifier.ts';
import { BrokerError, type ErrorCode } from '../../../src/token/errors.ts';
import { RecordingServer } from './recording-server.ts';
import { AUDIENCE, CLAIM_NAMES, claimsWith, ISSUER, pemOf, sharedSigner, TestClock } from './sessions.ts';

const claims = { ...CLAIM_NAMES, unionId: 'user.id' };
const clock = new TestClock();
const server = new RecordingServer((_request, response) => void response.end());

beforeAll(() => server.start());
afterAll(() => server.stop());

/** Each returns the account of a session whose claim of the account is this JSON value. */
const MODES: Readonly<Record<string, (id: string) => Promise<string>>> = {
  async jwt(id) {
    const signer = await sharedSigner('ES256');
    const options = { key: { publicKeyPem: pemOf(signer) }, issuer: ISSUER, audience: AUDIENCE, claims, clock };
    const verifier = new JwtVerifier(options);
    const session = await signer.signBytes(Buffer.from(JSON.stringify(claimsWith()).replace('{', `{${userOf(id)},`)));
    const [first, withKnownHeader] = [await verifier.verify(session), await verifier.verify(session)];
    expect(withKnownHeader).toEqual(first);
    return first.unionId;
  },
  async introspection(id) {
    answerWith(`{"active":true,${userOf(id)}}`);
    const url = new URL(server.origin);
    const verifier = new IntrospectionVerifier({ url, clientId: 'broker', clientSecret: 'secret', claims, clock });
    return (await verifier.verify('opaque')).unionId;
  },
  async forward(id) {
    answerWith(`{${userOf(id)}}`);
    const verifier = new ForwardVerifier({ url: new URL(server.origin), claims, clock });
    return (await verifier.verify('{"cookie":"sid=1"}')).unionId;
  },
};

function answerWith(body: string): void {
  server.answer = (_request, response) => response.setHeader('content-type', 'application/json').end(body);
}

/** The account, in a text that has other numbers, another claim of this name, and a text that looks like one. */
function userOf(id: string): string {
  return `"id":1,"note":"\\"user\\":{\\"id\\":2}","user":{"age":1.5e3,"id":${id},"parent":{"id":9007199254740993}}`;
}

const EDGES = [
  0n,
  7n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  1_790_000_000_000_000_001n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const integer = fc.oneof(
  fc.constantFrom(...EDGES),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }),
  fc.bigInt({ min: 2n ** 53n - 9n, max: 2n ** 53n + 9n }),
  fc.bigInt({ min: 0n, max: 10n ** 128n - 1n }),
);

describe.each(Object.entries(MODES))('an account in mode %s', (mode, accountOf) => {
  const refusalOf = (id: string): Promise<BrokerError> =>
    accountOf(id).then(
      (account) => Promise.reject(new Error(`accepted as ${account}`)),
      (error: unknown) => (error instanceof BrokerError ? error : Promise.reject(error)),
    );
  const refusal: ErrorCode = mode === 'forward' ? 'session_check_unavailable' : 'session_invalid';

  it('that is an integer of any size has exactly its digits, and is the same one as its text', async () => {
    await fc.assert(
      fc.asyncProperty(integer, async (id) => {
        expect(await accountOf(String(id))).toBe(String(id));
        expect(await accountOf(`"${id}"`)).toBe(String(id));
      }),
      { examples: EDGES.map((edge): [bigint] => [edge]) },
    );
    expect(await accountOf('-0')).toBe('0');
  });

  it('that is a number with a fraction or an exponent is never accepted, and the reason says so', async () => {
    const suffix = fc.constantFrom('.0', '.5', '.00000000000000000001', 'e0', 'E3', 'e+18', 'e-1', '.79e18', 'e999');
    await fc.assert(
      fc.asyncProperty(integer, suffix, async (id, more) => {
        const error = await refusalOf(`${id}${more}`);
        expect(error.code).toBe(refusal);
        const { message } = mode === 'forward' ? (error.cause as Error) : error;
        expect(message).toContain('without a fraction or an exponent');
      }),
    );
  });

  it('that is an integer may have 128 digits, like a text', async () => {
    expect(await accountOf('9'.repeat(128))).toBe('9'.repeat(128));
    for (const id of ['9'.repeat(129), `-${'9'.repeat(128)}`])
      expect(await refusalOf(id)).toMatchObject({ code: refusal });
  });

  it('that stands twice in the answer is the last one, as text and as a number', async () => {
    expect(await accountOf('5,"id":9007199254740993')).toBe('9007199254740993');
    expect(await accountOf('9007199254740993,"id":"x"')).toBe('x');
  });
});
