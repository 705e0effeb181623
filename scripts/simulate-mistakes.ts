// `npm run simulate:mistakes [-- TEXT]`: puts one mistake at a time into a copy of the code. The simulation must find each in a minute.
// With a text, only the mistakes with this text in their name.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Mistake {
  readonly name: string;
  readonly file: string;
  /** Text that occurs once in the file, and its replacement. */
  readonly from: string;
  readonly to: string;
}

const ROOT = join(import.meta.dirname, '..');
const MEMORY_STORE = 'src/store/memory/memory-store.ts';

const MISTAKES: readonly Mistake[] = [
  {
    name: 'no fence',
    file: MEMORY_STORE,
    from: "if (current > generation || fence > generation) return 'outdated';\n    if (isLeased && newest > generation) return 'lease_lost';",
    to: "if (current > generation) return 'outdated';",
  },
  {
    name: 'a late write is accepted',
    file: MEMORY_STORE,
    from: 'if (current > generation || fence > generation)',
    to: 'if (fence > generation)',
  },
  {
    name: 'leases are not extended',
    file: 'src/broker/login-under-lease.ts',
    from: 'void this.#extendAll();',
    to: '',
  },
  {
    name: 'announcements are trusted without the heartbeat',
    file: 'src/broker/token-cache.ts',
    from: 'return since !== undefined && checkedAt >= since && age < FRESH_ANNOUNCED_MS;',
    to: 'return since !== 0 && age < FRESH_ANNOUNCED_MS;',
  },
  {
    name: 'an error of the store counts as an absence',
    file: 'src/broker/token-broker.ts',
    from: 'return { entry: cache.getStale(id), erasedAt:',
    to: 'return { entry: undefined, erasedAt:',
  },
  {
    name: 'the login budget shrinks with the life of the token',
    file: 'src/broker/login-under-lease.ts',
    from: 'const { vendor, limits, loginBudgetMs: budgetMs } = this.#options;',
    to: 'const { vendor, limits, loginBudgetMs } = this.#options; const { current: old } = granted; const budgetMs = old ? Math.min(loginBudgetMs, Math.max(1_000, (old.token.expiresAt - this.#options.clock.now()) / 2)) : loginBudgetMs;',
  },
  {
    name: 'a write-back without a fence',
    file: MEMORY_STORE,
    from: 'const outcome = this.#write(subjectId(record.subject),',
    to: 'this.#fences.delete(subjectId(record.subject)); this.#accounts.get(subjectId(record.subject))?.records.delete(subjectId(record.subject)); const outcome = this.#write(subjectId(record.subject),',
  },
  {
    name: 'a logout does not reach a renewal in flight',
    file: MEMORY_STORE,
    from: 'this.#fences.set(id, generation);',
    to: '',
  },
  {
    name: 'a waiter misses its wake-up',
    file: 'src/broker/renewal.ts',
    from: 'const timer = this.#clock.setTimer(() => done(undefined), timeoutMs);',
    to: 'const timer = this.#clock.setTimer(() => done(undefined), 1e6 * timeoutMs);',
  },
  {
    name: 'the heartbeat of the leases goes on without a lease',
    file: 'src/broker/login-under-lease.ts',
    from: 'this.#heartbeat?.cancel();',
    to: '',
  },
  {
    name: 'a claim that is not renewed keeps its lease',
    file: 'src/broker/renewal.ts',
    from: 'return this.#underLease.release({ lease, timeBudget: this.#unlimited }, dueAt);',
    to: 'return Promise.resolve(void [lease, dueAt]);',
  },
  {
    name: 'a shutdown does not wait for running renewals',
    file: 'src/broker/renewal.ts',
    from: 'await raceTimeout(this.#options.clock, timeoutMs, Promise.allSettled(results));',
    to: '',
  },
  {
    name: 'the first read of a token does not move its due time',
    file: MEMORY_STORE,
    from: 'this.#context.schedule.advance(id, dueAt);',
    to: '',
  },
  {
    name: 'a logout leaves the due time',
    file: MEMORY_STORE,
    from: 'schedule.remove(id);\n    announcements.publish',
    to: 'announcements.publish',
  },
];

const chosen = MISTAKES.filter(({ name }) => name.includes(process.argv[2] ?? ''));
let missed = 0;
for (const { name, file, from, to } of chosen) {
  const copy = mkdtempSync(join(tmpdir(), 'mistake-'));
  try {
    for (const folder of ['src', 'test/simulation', 'scripts'])
      cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const path = join(copy, file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not contain this text once: ${from}`);
    writeFileSync(path, text.replace(from, to));
    const args = ['--import', 'tsx', 'scripts/simulate.ts', '--minutes', '1'];
    const { status, stdout } = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8', maxBuffer: 2 ** 28 });
    const [, when] = /^An invariant is broken (after .*):$/m.exec(stdout) ?? [];
    const [, finding] = /^[\d.]+ s: (.*)$/m.exec(stdout) ?? [];
    if (finding) process.stdout.write(`found ${when}   ${name}: ${finding}\n`);
    else process.stdout.write(`MISSED   ${name} (status ${status})\n`);
    if (!finding) missed += 1;
  } finally {
    rmSync(copy, { recursive: true });
  }
}
process.stdout.write(`${chosen.length - missed} of ${chosen.length} mistakes found\n`);
process.exit(missed === 0 ? 0 : 1);
