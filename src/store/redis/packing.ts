/**
 * A list of strings as few bytes: hexadecimal digits and those of a UUID two to a byte, 64-bit integers as one to eight
 * bytes, repeats as a reference. Each string is a varint `length * 4 + kind`, then its bytes.
 */

const UTF8 = 0;
const HEX = 1;
/** An integer, or a UUID: that takes more bytes than any integer. */
const NUMBER = 2;
const REPEAT = 3;

const INT64_LENGTH = 8;
const UUID_LENGTH = 16;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function pack(strings: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  strings.forEach((text, index) => {
    const first = strings.indexOf(text);
    if (first < index) {
      parts.push(varint(first * 4 + REPEAT));
      return;
    }
    const [kind, bytes] = encode(text);
    parts.push(varint(bytes.length * 4 + kind), bytes);
  });
  return Buffer.concat(parts);
}

/** `undefined` where the bytes are no such list; never throws. */
export function unpack(bytes: Buffer): string[] | undefined {
  const strings: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    let head = 0;
    let shift = 1;
    let byte: number;
    do {
      byte = bytes[at++] ?? 0;
      head += (byte & 0x7f) * shift;
      shift *= 128;
    } while (byte >= 0x80);
    if (at > bytes.length || !Number.isSafeInteger(head)) return undefined;
    const kind = head % 4;
    const length = (head - kind) / 4;
    if (kind === REPEAT) {
      const earlier = strings[length];
      if (earlier === undefined) return undefined;
      strings.push(earlier);
      continue;
    }
    if (at + length > bytes.length || (kind === NUMBER && !isNumber(length))) return undefined;
    strings.push(decode(kind, bytes.subarray(at, at + length)));
    at += length;
  }
  return strings;
}

function encode(text: string): [kind: number, bytes: Buffer] {
  if (/^(?:[0-9a-f]{2})+$/.test(text) && text.length > 20) return [HEX, Buffer.from(text, 'hex')];
  if (/^-?[1-9][0-9]{8,18}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text)) {
    return [NUMBER, shortest(BigInt(text))];
  }
  if (UUID.test(text)) return [NUMBER, Buffer.from(text.replaceAll('-', ''), 'hex')];
  return [UTF8, Buffer.from(text)];
}

function decode(kind: number, bytes: Buffer): string {
  if (kind === HEX) return bytes.toString('hex');
  if (kind === UTF8) return bytes.toString();
  return bytes.length === UUID_LENGTH ? uuidOf(bytes.toString('hex')) : integerOf(bytes).toString();
}

function isNumber(length: number): boolean {
  return length === UUID_LENGTH || (length >= 1 && length <= INT64_LENGTH);
}

/** Big-endian, without what only repeats the sign. */
function shortest(integer: bigint): Buffer {
  const bytes = Buffer.alloc(INT64_LENGTH);
  bytes.writeBigInt64BE(integer);
  let length = INT64_LENGTH;
  while (length > 1 && BigInt.asIntN(8 * (length - 1), integer) === integer) length -= 1;
  return bytes.subarray(INT64_LENGTH - length);
}

function integerOf(bytes: Buffer): bigint {
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${bytes.toString('hex')}`));
}

function uuidOf(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 128) + 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
