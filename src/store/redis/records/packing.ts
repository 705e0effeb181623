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
/** Up to so many bytes a number holds every integer, which is quicker. */
const NUMBER_LENGTH = 6;
const LONGEST_INTEGER = 20;
const SCRATCH = Buffer.alloc(INT64_LENGTH);

const DIGITS = /^[0-9a-f]+$/;
const INTEGER = /^-?[1-9][0-9]{8,18}$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const UUID_TEXT_LENGTH = 36;

/** Most bytes of UTF-8 for one of a string's units, and of a varint. */
const LONGEST_UNIT = 3;
const LONGEST_VARINT = 5;

export function pack(strings: readonly string[]): Buffer {
  const most = strings.reduce((sum, { length }) => sum + LONGEST_VARINT + LONGEST_UNIT * length, 0);
  const packed = Buffer.allocUnsafe(most);
  let at = 0;
  strings.forEach((text, index) => {
    const first = strings.indexOf(text);
    if (first < index) {
      at = writeVarint(packed, at, first * 4 + REPEAT);
      return;
    }
    at = writeText(packed, at, text);
  });
  return packed.subarray(0, at);
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
    strings.push(decode(kind, bytes, at, at + length));
    at += length;
  }
  return strings;
}

/** @returns where it ends */
function writeText(bytes: Buffer, start: number, text: string): number {
  const { length } = text;
  if (length <= LONGEST_INTEGER) {
    const integer = INTEGER.test(text) ? BigInt(text) : undefined;
    if (integer !== undefined && BigInt.asIntN(64, integer) === integer) return writeInteger(bytes, start, integer);
  } else if (length % 2 === 0 && DIGITS.test(text)) {
    return writeHex(bytes, start, HEX, text);
  } else if (length === UUID_TEXT_LENGTH && UUID.test(text)) {
    return writeHex(bytes, start, NUMBER, text.replaceAll('-', ''));
  }
  const at = writeVarint(bytes, start, Buffer.byteLength(text) * 4 + UTF8);
  return at + bytes.write(text, at);
}

function writeHex(bytes: Buffer, start: number, kind: number, digits: string): number {
  const at = writeVarint(bytes, start, (digits.length / 2) * 4 + kind);
  return at + bytes.write(digits, at, 'hex');
}

function decode(kind: number, bytes: Buffer, start: number, end: number): string {
  if (kind === UTF8) return bytes.toString('utf8', start, end);
  if (kind === NUMBER && end - start < UUID_LENGTH) return integerAt(bytes, start, end - start);
  const hex = bytes.toString('hex', start, end);
  return kind === HEX ? hex : uuidOf(hex);
}

function isNumber(length: number): boolean {
  return length === UUID_LENGTH || (length >= 1 && length <= INT64_LENGTH);
}

/** Big-endian, without what only repeats the sign. */
function writeInteger(bytes: Buffer, start: number, integer: bigint): number {
  let length = 1;
  while (length < INT64_LENGTH && BigInt.asIntN(8 * length, integer) !== integer) length += 1;
  const at = writeVarint(bytes, start, length * 4 + NUMBER);
  if (length <= NUMBER_LENGTH) return bytes.writeIntBE(Number(integer), at, length);
  SCRATCH.writeBigInt64BE(integer);
  return at + SCRATCH.copy(bytes, at, INT64_LENGTH - length);
}

function integerAt(bytes: Buffer, start: number, length: number): string {
  if (length <= NUMBER_LENGTH) return String(bytes.readIntBE(start, length));
  const hex = bytes.toString('hex', start, start + length);
  return BigInt.asIntN(8 * length, BigInt(`0x${hex}`)).toString();
}

function uuidOf(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** @returns where it ends */
function writeVarint(bytes: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 128) + 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}
