import { createECDH, hkdfSync, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { open, seal } from '../token/aes-gcm.ts';

const CURVE = 'prime256v1';
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
 * The consoles that have shown an admin token. With the public key of this process, which is in its HTML, the page
 * makes a shared key (ECDH P-256, HKDF, AES-256-GCM; docs/security.md, "The console") that seals each call and answer.
 * So another process on the same address, also one that passes everything on, gets nothing that it can use.
 */
export function consoleSessions(now = () => performance.now(), maxUsed = MAX_USED) {
  const own = createECDH(CURVE);
  const sessions = new LRUCache<string, Session>({ max: MAX_SESSIONS });
  /** The keys of pages that have signed in. */
  const used = new LRUCache<string, true>({ max: maxUsed });
  /** In hexadecimal. */
  const publicKey = own.generateKeys('hex');
  return { publicKey, open: openCall };

  /**
   * @param page the public key of the page, in hexadecimal
   * @param number 0 for the first call of the page, then each number once
   * @returns `undefined` if the call is not one of an open session, or was opened before
   */
  function openCall(page: string, number: number, sealed: Buffer): OpenedCall | undefined {
    const at = now();
    if (number === 0 && used.has(page)) return undefined;
    const known = sessions.peek(page);
    const isOpen = known && at - known.usedAt < IDLE_MS && at - known.startedAt < LIFETIME_MS;
    const session = isOpen ? known : undefined;
    if ((session === undefined) !== (number === 0)) return undefined;
    const key = session?.key ?? sharedKey(page);
    const about = `${number} ${session?.id ?? ''}`;
    const text = key && open(key, sealed, Buffer.from(`call ${about}`))?.toString();
    if (key === undefined || text === undefined) return undefined;
    if (session && !isFirstUse(session.seen, number)) return undefined;
    if (session) {
      session.usedAt = at;
      sessions.get(page);
    }
    return {
      text,
      token: session?.token,
      seal: (answer) => seal(key, Buffer.from(answer), Buffer.from(`answer ${about}`)),
      start: (token) => {
        const id = randomBytes(16).toString('hex');
        used.set(page, true);
        sessions.set(page, { id, key, token, startedAt: at, usedAt: at, seen: new Set([0]) });
        return id;
      },
    };
  }

  /** The page's key is the salt: several keys lead to one secret (a point and its mirror, and other encodings). */
  function sharedKey(page: string): Buffer | undefined {
    try {
      const secret = own.computeSecret(page, 'hex');
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
