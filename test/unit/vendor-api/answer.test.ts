import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TOKEN_FIELDS } from '../../../src/token/sdk-token.ts';
import {
  BrokenAnswer,
  parseAnswer,
  readExpireTime,
  readRetryAfter,
  readToken,
} from '../../../src/vendor-api/answer.ts';
import { anyText } from '../../support/any-text.ts';

const TIMES = { sentAt: 1_700_000_000_000, offsetMs: 0 };
const NEEDED = '"accessId":"a","accessToken":"t","terminalId":"i","expireTime":3600';

function read(data: string, times = TIMES) {
  return readToken(
    parseAnswer(`{"code":0,"msg":"success","requestId":"","data":${data}}`).data,
    times.sentAt,
    times.offsetMs,
  );
}

function fields(more: string) {
  return read(`{${NEEDED},${more}}`).fields;
}

describe('the envelope of an answer', () => {
  it('has a code, a message, a request id and data', () => {
    const answer = parseAnswer('{"code":10902013,"msg":"closed","requestId":"r","data":null}');
    expect(answer).toEqual({ code: 10902013, msg: 'closed', requestId: 'r', data: null });
  });

  it('needs only a code', () => {
    expect(parseAnswer('{"code":-3,"msg":null,"requestId":12}')).toEqual({ code: -3, msg: '', requestId: '' });
  });

  it.each([
    ['an empty text', '', /not JSON/],
    ['HTML', '<html>502</html>', /not JSON/],
    ['cut-off JSON', '{"code":0,"data":{"acc', /not JSON/],
    ['JSON with two values', '{"code":0}{"code":0}', /not JSON/],
    ['JSON with a field twice', '{"code":0,"code":1}', /not JSON/],
    ['JSON that is nested too deeply', '['.repeat(250_000), /not JSON/],
    ['a string', '"ok"', "the answer's body is missing or malformed"],
    ['null', 'null', "the answer's body is missing or malformed"],
    ['a number', '0', "the answer's code is missing or malformed"],
    ['a list', '[]', "the answer's body is missing or malformed"],
    ['an object without a code', '{"msg":"success"}', "the answer's code is missing or malformed"],
    ['an object with a quoted code', '{"code":"0"}', "the answer's code is missing or malformed"],
    ['an object with a fractional code', '{"code":0.5}', "the answer's code is missing or malformed"],
    [
      'an object with a code that is too large for a double',
      '{"code":9223372036854775807}',
      "the answer's code is missing or malformed",
    ],
  ])('that is %s is a broken answer', (_, text, problem) => {
    expect(() => parseAnswer(text)).toThrow(BrokenAnswer);
    expect(() => parseAnswer(text)).toThrow(expect.objectContaining({ name: 'BrokenAnswer' }));
    expect(() => parseAnswer(text)).toThrow(problem);
  });
});

describe('a token’s fields', () => {
  it('are the strings for the SDK, in the order of the documentation', () => {
    const token = read('{"expireTime":"1700003600","expand":"e","accessId":"-1","terminalId":"-2","accessToken":"t"}');
    expect(token).toEqual({
      fields: {
        accessId: '-1',
        accessToken: 't',
        expireTime: '1700003600',
        terminalId: '-2',
        expand: 'e',
        expend: 'e',
      },
      issuedAt: 1_700_000_000_000,
      expiresAt: 1_700_003_600_000,
    });
    expect(Object.keys(token.fields)).toEqual([
      'accessId',
      'accessToken',
      'expireTime',
      'terminalId',
      'expand',
      'expend',
    ]);
  });

  it('keep every digit of any integer', () => {
    fc.assert(
      fc.property(fc.bigInt(), fc.bigInt(), (accessId, other) => {
        const data = `{"accessId":${accessId},"accessToken":"t","terminalId":${-accessId},"expireTime":60,"o":${other}}`;
        expect(read(data).fields).toMatchObject({ accessId: `${accessId}`, terminalId: `${-accessId}`, o: `${other}` });
      }),
    );
  });

  it('have an accessId of at most 128 characters, which a look-up accepts', () => {
    const withAccessId = (accessId: string) =>
      read(JSON.stringify({ accessId, accessToken: 't', terminalId: 'i', expireTime: 60 }));
    expect(withAccessId('😀'.repeat(128)).fields['accessId']).toHaveLength(256);
    for (const accessId of ['x'.repeat(129), '😀'.repeat(129), '\ud800']) {
      expect(() => withAccessId(accessId)).toThrow(new BrokenAnswer('data.accessId is missing or malformed'));
    }
  });

  it('keep every well-formed string unchanged', () => {
    const wellFormed = (minLength: number) => anyText(minLength).map((text) => text.toWellFormed());
    fc.assert(
      fc.property(wellFormed(0), wellFormed(1), (text, token) => {
        const data = {
          accessId: 'a',
          accessToken: token,
          terminalId: 'i',
          expireTime: '60',
          expand: text,
          other: text,
        };
        expect(read(JSON.stringify(data)).fields).toMatchObject({ accessToken: token, expand: text, other: text });
      }),
    );
  });

  it('contain all other values of the answer, as text', () => {
    const sent = '"n":1.50,"e":1e400,"t":true,"f":false,"z":null,"o":{"id":9223372036854775807,"x":[1.0,null]},"l":[ ]';
    expect(fields(sent)).toMatchObject({
      n: '1.50',
      e: '1e400',
      t: 'true',
      f: 'false',
      o: '{"id":9223372036854775807,"x":[1.0,null]}',
      l: '[]',
    });
    expect(fields(sent)).not.toHaveProperty('z');
  });

  it('replace half a surrogate pair, in names too, because UTF-8 cannot carry it', () => {
    const sent = fields('"a\\ud800":"b","c":"\\udc00d","e":["\\ud800"]');
    expect(sent).toMatchObject({ 'a\ufffd': 'b', c: '\ufffdd' });
    expect(
      Object.entries(sent)
        .flat()
        .every((text) => text.isWellFormed()),
    ).toBe(true);
  });

  it('are the known ones and at most 64 others', () => {
    const withOthers = (count: number) =>
      fields(`"expand":"e","expend":"e",${Array.from({ length: count }, (_, number) => `"other-${number}":1`).join()}`);
    expect(Object.keys(withOthers(64))).toHaveLength(TOKEN_FIELDS.length + 64);
    const problem = 'data has more than 64 fields beside the known ones';
    expect(() => withOthers(65)).toThrow(new BrokenAnswer(problem));
  });

  it('are at most as long as a record that can be read back', () => {
    const withExpand = (json: string) => fields(`"expand":${json}`);
    expect(withExpand(JSON.stringify('x'.repeat(249_000)))['expend']).toHaveLength(249_000);
    const quotes = JSON.stringify({ of: '"'.repeat(100_000) });
    expect(() => withExpand(quotes)).toThrow(new BrokenAnswer('data is longer than 500000 bytes as text'));
  });

  it('cannot change the prototype', () => {
    const sent = fields('"__proto__":{"polluted":"yes"},"constructor":"c","toString":"s"');
    expect(Object.getPrototypeOf(sent)).toBe(Object.prototype);
    expect(Object.hasOwn(sent, '__proto__')).toBe(false);
    expect(sent).not.toHaveProperty('polluted');
    expect(Object.entries(sent).slice(-2)).toEqual([
      ['constructor', 'c'],
      ['toString', 's'],
    ]);
    expect(() => read('{"__proto__":{"accessId":"a","accessToken":"t","terminalId":"i","expireTime":60}}')).toThrow(
      BrokenAnswer,
    );
  });

  it.each([
    ['expand alone', '"expand":"{\\"a\\": 1}"', '{"a": 1}', '{"a": 1}'],
    ['expend alone', '"expend":"{\\"a\\": 1}"', '{"a": 1}', '{"a": 1}'],
    ['both', '"expand":"a","expend":"b"', 'a', 'b'],
    ['one of them null', '"expand":null,"expend":"b"', 'b', 'b'],
    ['an object', '"expand":{"area":"cn"}', '{"area":"cn"}', '{"area":"cn"}'],
    ['neither', '"other":"o"', '', ''],
  ])('with %s contain both expand and expend', (_, sent, expand, expend) => {
    expect(fields(sent)).toMatchObject({ expand, expend });
  });

  it.each(['accessId', 'accessToken', 'terminalId', 'expireTime'])(
    'without a usable %s are a broken answer',
    (name) => {
      for (const value of ['""', 'null', 'true', '{}', '[]', '1.5', undefined]) {
        const data = { accessId: '"a"', accessToken: '"t"', terminalId: '"i"', expireTime: '60', [name]: value };
        const sent = Object.entries(data).filter(([, text]) => text !== undefined);
        const text = `{${sent.map(([key, json]) => `"${key}":${json}`).join()}}`;
        expect(() => read(text), text).toThrow(`data.${name} is missing or malformed`);
      }
    },
  );

  it.each([
    ['null', 'data is missing or malformed'],
    ['[]', 'data is missing or malformed'],
    ['"text"', 'data is missing or malformed'],
    ['true', 'data is missing or malformed'],
    ['5', 'data.accessId is missing or malformed'],
    ['{}', 'data.accessId is missing or malformed'],
  ])('cannot be read from data %s: %s', (data, message) => {
    expect(() => read(data)).toThrow(BrokenAnswer);
    expect(() => read(data)).toThrow(expect.objectContaining({ message }));
  });

  it('nested at any depth are text or a broken answer, but never a crash', () => {
    for (let depth = 1000; depth <= 64_000; depth += 1000) {
      try {
        expect(fields(`"deep":${'['.repeat(depth)}${']'.repeat(depth)}`)['deep']).toHaveLength(2 * depth);
      } catch (error) {
        expect(error).toBeInstanceOf(BrokenAnswer);
        expect(String(error)).toMatch(/: (the answer is not JSON|data is nested too deeply)$/);
      }
    }
    // The parser of this Node.js version may give up at a lower depth than the writer.
    let deep: unknown = [];
    for (let depth = 0; depth < 250_000; depth += 1) deep = [deep];
    const data = { accessId: 'a', accessToken: 't', terminalId: 'i', expireTime: '60', deep };
    expect(() => readToken(data, TIMES.sentAt, 0)).toThrow(new BrokenAnswer('data is nested too deeply'));
  });
});

describe('a token’s times', () => {
  const offsetMs = 90_000;

  it.each([
    ['epoch seconds', '1700003690', '1700003690', 1_700_003_600_000],
    ['epoch milliseconds', '1700003690999', '1700003690', 1_700_003_600_999],
    ['a lifetime', '"3600"', '1700003690', 1_700_003_600_000],
  ])(
    'from %s are the vendor’s epoch seconds for the SDK, and the broker’s clock inside',
    (_, sent, expireTime, expiresAt) => {
      const data = `{"accessId":"a","accessToken":"t","terminalId":"i","expireTime":${sent}}`;
      const token = read(data, { ...TIMES, offsetMs });
      expect(token.fields['expireTime']).toBe(expireTime);
      expect(token).toMatchObject({ issuedAt: TIMES.sentAt, expiresAt });
    },
  );

  it('are checked by the vendor’s clock', () => {
    const ahead = `{"accessId":"a","accessToken":"t","terminalId":"i","expireTime":1700000060}`;
    expect(read(ahead).expiresAt).toBe(1_700_000_060_000);
    expect(() => read(ahead, { ...TIMES, offsetMs })).toThrow('not in the future');
    const behind = ahead.replace('1700000060', '1699999990');
    expect(() => read(behind)).toThrow('not in the future');
    expect(read(behind, { ...TIMES, offsetMs: -60_000 }).expiresAt).toBe(1_700_000_050_000);
  });
});

const SENT_AT = 1_700_000_000_250;
const DAY = 86_400_000;

describe('expireTime', () => {
  it.each([
    ['epoch seconds', '1702592000', 1_702_592_000_000],
    ['epoch milliseconds', '1702592000123', 1_702_592_000_123],
    ['a lifetime', '7200', SENT_AT + 7_200_000],
    ['the shortest lifetime', '1', SENT_AT + 1000],
    ['the longest lifetime', String(400 * 86_400), SENT_AT + 400 * DAY],
    ['the first millisecond ahead', '1700000000251', SENT_AT + 1],
    ['leading zeros', '0001702592000', 1_702_592_000_000],
  ])('is read as %s', (_, text, instant) => expect(readExpireTime(text, SENT_AT)).toBe(instant));

  it.each([
    ['an empty string', '', /whole number/],
    ['a fraction', '1702592000.5', /whole number/],
    ['an exponent', '1.7e9', /whole number/],
    ['hexadecimal', '0x65f1', /whole number/],
    ['a sign', '-1', /whole number/],
    ['spaces', ' 7200', /whole number/],
    ['a word', 'never', /whole number/],
    ['a lifetime of 0', '0', /future/],
    ['a second ago', '1699999999', /future/],
    ['the current millisecond', '1700000000250', /future/],
    ['the smallest value that is not a lifetime', '1000000000', /future/],
    ['the last value in seconds', '100000000000', /400 days/],
    ['the first value in milliseconds', '100000000001', /future/],
    ['the largest lifetime', '999999999', /400 days/],
    ['401 days', String(401 * 86_400), /400 days/],
    ['400 days and a millisecond', String(SENT_AT + 400 * DAY + 1), /400 days/],
    ['too large for a double', '9'.repeat(400), /400 days/],
  ])('that is %s is a broken answer', (_, text, problem) =>
    expect(() => readExpireTime(text, SENT_AT)).toThrow(problem),
  );
});

const NEW_YEAR = Date.UTC(2026, 0, 1);

it.each([
  [undefined, undefined],
  ['', undefined],
  ['soon', undefined],
  ['-5', 0],
  ['1.5', 0],
  ['0', 0],
  ['7', 7],
  ['3600', 3600],
  ['3601', 3600],
  ['9'.repeat(400), 3600],
  ['Thu, 01 Jan 2026 00:00:30 GMT', 30],
  ['Thu, 01 Jan 2026 09:00:00 GMT', 3600],
  ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
])('Retry-After %j is read as %j seconds', (value, seconds) => expect(readRetryAfter(value, NEW_YEAR)).toBe(seconds));
