import { SignJWT } from 'jose';
import { Pool } from 'undici';
import type { Subject } from '../../src/token/subject.ts';
import type { BrokerProcess } from '../../test/support/broker-process.ts';
import { type Figures, formatCount } from './figures.ts';
import type { MeasuredRedis } from './measured-redis.ts';
import { metricOf } from './replica.ts';

const CONNECTIONS = 32;
const WARM_SUBJECTS = 500;
const WARM_READS = 30_000;

export interface SessionIssuer {
  readonly secret: string;
  readonly issuer: string;
  readonly audience: string;
}

interface Read {
  readonly path: string;
  readonly headers: { readonly authorization: string };
}

/** Measures first reads (new session, token only in Redis), then repeated reads (session and token in memory). */
export async function measureReads(
  replica: BrokerProcess,
  redis: MeasuredRedis,
  issuer: SessionIssuer,
  subjects: readonly Subject[],
  figures: Figures,
): Promise<void> {
  const reads = await Promise.all(subjects.map((subject) => readOf(subject, issuer)));
  const warm = Array.from({ length: WARM_READS }, (_, number) => reads[number % WARM_SUBJECTS]).filter(
    (read) => !!read,
  );
  const pool = new Pool(replica.url, { connections: CONNECTIONS });
  for (const [kind, all] of [
    ['new session, token in Redis', reads],
    ['known session, token in memory', warm],
  ] as const) {
    const cpu = () => metricOf(replica, 'process_cpu_seconds_total');
    if (kind.startsWith('known')) await readAll(pool, all.slice(0, WARM_SUBJECTS));
    const [cpuFrom, redisFrom, startedAt] = [await cpu(), await redis.cpuSeconds(), performance.now()];
    await readAll(pool, all);
    const seconds = (performance.now() - startedAt) / 1_000;
    const [cpuMs, redisMs] = [(await cpu()) - cpuFrom, (await redis.cpuSeconds()) - redisFrom].map((s) => 1_000 * s);
    figures.note(`reads per second, one replica: ${kind}`, formatCount(all.length / seconds));
    figures.note('CPU of the replica per read', `${((cpuMs ?? 0) / all.length).toFixed(3)} ms`);
    figures.note('CPU of Redis per read', `${((redisMs ?? 0) / all.length).toFixed(3)} ms`);
  }
  await pool.close();
}

/** A read of the token of this subject, with a new session. */
export async function readOf(
  { unionId, uniqueId }: Subject,
  { secret, issuer, audience }: SessionIssuer,
): Promise<Read> {
  const jwt = new SignJWT({ sub: unionId, region: 'DE' }).setProtectedHeader({ alg: 'HS256' });
  const session = await jwt
    .setIssuer(issuer)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secret));
  return { path: `/sdk-token?uniqueId=${uniqueId}`, headers: { authorization: `Bearer ${session}` } };
}

/** @throws Error if one of the answers is not a token */
async function readAll(pool: Pool, reads: readonly Read[]): Promise<void> {
  const remaining = reads.values();
  const sendReads = async () => {
    for (const { path, headers } of remaining) {
      const { statusCode, body } = await pool.request({ path, method: 'GET', headers });
      const text = await body.text();
      if (statusCode !== 200) throw new Error(`a read was answered with ${statusCode}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, sendReads));
}
