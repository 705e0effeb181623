import { createCipheriv, createDecipheriv, createECDH, hkdfSync, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';

const CURVE = 'prime256v1';
const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;
const PURPOSE = 'sdk-token-broker console';

/** Open consoles. One more ends the one that was quiet for the longest time. */
const MAX_SESSIONS = 32;
/** Sign-ins whose first call is known, and refused if it comes again. Only an admin token adds one. */
const MAX_USED = 10_000;
/** A page whose tab is hidden asks nothing. */
const IDLE_MS = 30 * 60_000;
const LIFETIME_MS = 12 * 3_600_000;
/** A call may be overtaken by this many later ones. An older one, which somebody may have kept, is refused. */
const OVERTAKEN = 8;

interface Session {
  /** Random, and never sent in the clear. It makes a call of another session with the same key worthless. */
  readonly id: string;
  readonly key: Buffer;
  /** The admin token. */
  readonly token: string;
  readonly startedAt: number;
  usedAt: number;
  /** The numbers of the last calls. */
  readonly seen: Set<number>;
}

/** A call that only the page with this session can have sent. */
interface OpenedCall {
  readonly text: string;
  /** `undefined` if it is the first one of a page. */
  readonly token: string | undefined;
  /** Makes the answer, which only that page can read. */
  readonly seal: (answer: string) => Buffer;
  /** Starts the session of the page, which must have sent its first call. @returns its id */
  readonly start: (token: string) => string;
}

/**
 * The consoles that have shown an admin token. The page gets the public key of this process with its HTML. It makes a
 * shared key (ECDH P-256, HKDF, AES-256-GCM; docs/security.md, "The console"), with which it seals each call and opens
 * each answer. So another process on the same address, also one that passes everything on, gets nothing that it can
 * use.
 */
export class ConsoleSessions {
  readonly #own = createECDH(CURVE);
  readonly #sessions = new LRUCache<string, Session>({ max: MAX_SESSIONS });
  /** The keys of pages that have signed in. */
  readonly #used: LRUCache<string, true>;
  readonly #now: () => number;
  /** In hexadecimal. */
  readonly publicKey = this.#own.generateKeys('hex');

  /** @param now ms since any instant @param maxUsed sign-ins that are remembered */
  constructor(now = () => performance.now(), maxUsed = MAX_USED) {
    this.#now = now;
    this.#used = new LRUCache({ max: maxUsed });
  }

  /**
   * Opens a call.
   * @param page the public key of the page, in hexadecimal
   * @param number 0 for the first call of the page, then each number once
   * @returns `undefined` if the call is not one of an open session, or was opened before
   */
  open(page: string, number: number, sealed: Buffer): OpenedCall | undefined {
    const now = this.#now();
    if (number === 0 && this.#used.has(page)) return undefined;
    const known = this.#sessions.peek(page);
    const isOpen = known && now - known.usedAt < IDLE_MS && now - known.startedAt < LIFETIME_MS;
    const session = isOpen ? known : undefined;
    if ((session === undefined) !== (number === 0)) return undefined;
    const key = session?.key ?? this.#sharedKey(page);
    const about = `${number} ${session?.id ?? ''}`;
    const text = key && opened(key, `call ${about}`, sealed);
    if (key === undefined || text === undefined) return undefined;
    if (session && !isFirstUse(session.seen, number)) return undefined;
    if (session) {
      session.usedAt = now;
      this.#sessions.get(page);
    }
    return {
      text,
      token: session?.token,
      seal: (answer) => seal(key, `answer ${about}`, answer),
      start: (token) => {
        const id = randomBytes(16).toString('hex');
        this.#used.set(page, true);
        this.#sessions.set(page, { id, key, token, startedAt: now, usedAt: now, seen: new Set([0]) });
        return id;
      },
    };
  }

  /**
   * The page's key is the salt, because several keys lead to one secret: a point and its mirror, and other encodings.
   */
  #sharedKey(page: string): Buffer | undefined {
    try {
      const secret = this.#own.computeSecret(page, 'hex');
      return Buffer.from(hkdfSync('sha256', secret, Buffer.from(page, 'hex'), PURPOSE, 32));
    } catch {
      // No point of the curve.
      return undefined;
    }
  }
}

function isFirstUse(seen: Set<number>, number: number): boolean {
  const oldest = Math.max(...seen) - OVERTAKEN;
  if (number <= oldest || seen.has(number)) return false;
  seen.add(number);
  for (const one of seen) if (one < oldest) seen.delete(one);
  return true;
}

/** @param context what the text is: it opens only with the same one */
function seal(key: Buffer, context: string, text: string): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv).setAAD(Buffer.from(context));
  return Buffer.concat([iv, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

function opened(key: Buffer, context: string, sealed: Buffer): string | undefined {
  if (sealed.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(context))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString();
  } catch {
    return undefined;
  }
}
