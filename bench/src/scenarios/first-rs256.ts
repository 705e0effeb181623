import { firstReads } from './first.ts';

/** Like `first`, with sessions that are signed with RS256. */
export const scenario = firstReads('first-rs256', 'RS256', 24_000);
