import { ERRORS, type ErrorCode } from '../../token/errors.ts';
import type { Announcement } from '../../token/ports.ts';
import type { AccountId, SubjectId } from '../../token/subject.ts';

const ANNOUNCEMENT = /^(saved|removed|failed) ([\w-]{44}) ([0-9]+)(?: ([a-z_]+))?$/;
const ERASURE = /^erased ([\w-]{22}) ([0-9]+)$/;

/** `undefined` where it is not understood: while replicas are being replaced, a newer one may say what we cannot know. */
export function readAnnouncement(text: string): Announcement | undefined {
  const [, account, instant] = ERASURE.exec(text) ?? [];
  if (account) return { kind: 'erased', account: account as AccountId, generation: Number(instant) };
  const [, kind, id, generation, code] = ANNOUNCEMENT.exec(text) ?? [];
  const about = { id: id as SubjectId, generation: Number(generation) };
  if (kind === 'saved' || kind === 'removed') return { kind, ...about };
  return code && code in ERRORS ? { kind: 'failed', ...about, code: code as ErrorCode } : undefined;
}
