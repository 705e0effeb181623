import { LRUCache } from 'lru-cache';
import { type Subject, type SubjectId, subjectId } from '../token/subject.ts';

/** Of how many subjects the id is remembered. */
const MAX_SUBJECTS = 10_000;

/** The ids of subjects that were asked for lately: digesting one takes longer than finding its token. */
export class SubjectIds {
  readonly #known = new LRUCache<string, SubjectId>({ max: MAX_SUBJECTS });

  of(subject: Subject): SubjectId {
    const name = JSON.stringify([subject.app, subject.unionId, subject.uniqueId]);
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const id = subjectId(subject);
    this.#known.set(name, id);
    return id;
  }
}
