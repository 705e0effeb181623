import { seededRandom } from '../support/seeded-random.ts';

/** Whole numbers below a bound, the same ones for the same seed. */
export function randomNumbers(seed: number): (below: number) => number {
  const random = seededRandom(seed);
  return (below) => Math.floor(random() * below);
}

export type Random = ReturnType<typeof randomNumbers>;

export function oneOf<T>(random: Random, ...values: readonly T[]): T {
  return values[random(values.length)] as T;
}

/** Values that a member of any JSON may have by mistake. */
export const ODD_VALUES: readonly unknown[] = [
  ...[0, -0, 1, -1, 0.5, 1e21, 1e300, 2 ** 53, null, true, false],
  ...['', ' ', '0', '-1', '1e9', 'NaN', '\u0000\u001b[31m', '\ud800', '"\\\r\n', '9'.repeat(400), '🙂'.repeat(200)],
  'x'.repeat(70_000),
  ...[[], {}, [null], [[[[[]]]]]],
];
export const ODD_NAMES = ['__proto__', 'constructor', 'toString', 'error', '', 'x'.repeat(300)];

export interface Changes {
  /** Members that a mutation may add. */
  readonly names: readonly string[];
  /** Values that a mutation may put in. */
  readonly values: readonly unknown[];
}

/** Changes one or a few members of the object, at any depth. */
export function mutateJson(value: object, changes: Changes, random: Random): object {
  const copy = structuredClone(value) as Record<string, unknown>;
  for (let change = random(3); change >= 0; change -= 1) {
    const names = Object.keys(copy);
    const name = random(2) === 0 && names.length > 0 ? oneOf(random, ...names) : oneOf(random, ...changes.names);
    const old = copy[name];
    if (random(5) === 0) delete copy[name];
    else if (typeof old === 'object' && old !== null && random(2) === 0) copy[name] = mutateJson(old, changes, random);
    else
      Object.defineProperty(copy, name, {
        value: oneOf(random, ...changes.values),
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return copy;
}

/** Changes some bytes, or cuts, repeats or wraps the text. */
export function mutateBytes(body: Buffer, random: Random): Buffer {
  const at = random(body.length + 1);
  switch (random(6)) {
    case 0:
      return body.subarray(0, at);
    case 1:
      return Buffer.concat([body.subarray(0, at), Buffer.from([random(256)]), body.subarray(at + random(2))]);
    case 2:
      return Buffer.concat([body, body]);
    case 3:
      return Buffer.from(`[${body}]`);
    case 4:
      return Buffer.concat([Buffer.from(oneOf(random, '\ufeff', ")]}'\n", '<html>', ' \n')), body]);
    default:
      return Buffer.from(String(body).replace(/:/, oneOf(random, '=', '::', ':-', ':1e999,"":', ':9'.repeat(500))));
  }
}
