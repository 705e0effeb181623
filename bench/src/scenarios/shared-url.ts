import { newSubjects } from '../subjects.ts';
import { SESSIONS, warmReads } from './warm.ts';

/** Like `warm`, but all accounts send the same URL, as with the policy `single` or a constant uniqueId. */
export const scenario = warmReads('shared-url', () =>
  newSubjects(SESSIONS).map((subject) => ({ ...subject, uniqueId: 'phone' })),
);
