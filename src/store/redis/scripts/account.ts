import { DIGEST_LENGTH } from '../../../token/subject.ts';
import { ACCOUNT_FIELDS } from '../keys.ts';
import { MARK_LENGTH } from '../records/directory-codec.ts';
import { ACCOUNT, FENCE_MS, NOW, PRINT, RECORD } from './prelude.ts';

/**
 * What was sealed under an older key is replaced in place, if it still is what was read. A text is sealed with a random
 * IV, so the same bytes are the same text of the same generation.
 */

/**
 * KEYS hash · ARGV field, length of the head, sealed text as it was read, the same sealed anew
 * The head, with the read flag in it, stays as it is now. Returns 1, or 0 when something else stands there.
 */
const resealField = `
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored or string.sub(stored, ARGV[2] + 1) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.sub(stored, 1, ARGV[2]) .. ARGV[4])
return 1
`;

const RESEAL_SCRIPTS = { resealField: { numberOfKeys: 1, lua: resealField } } as const;

/**
 * KEYS fence, account, due · ARGV terminal, id, channel
 * Outdates every generation handed out so far; the lease stays with whoever is logging in, so that nobody else does.
 * Returns the generation up to which tokens are outdated.
 */
const remove = `${NOW}${RECORD}${PRINT}
local record = redis.call('HGET', KEYS[2], ARGV[1])
local fence = tonumber(redis.call('GET', KEYS[1]) or 0)
local outdated = print(math.max(now, fence + 1, generationOf(record) + 1))
redis.call('SET', KEYS[1], outdated, 'PX', ${FENCE_MS})
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('PUBLISH', ARGV[3], 'removed ' .. ARGV[2] .. ' ' .. outdated)
return outdated
`;

/**
 * KEYS account, due · ARGV account id, ms for which the instant is remembered, channel
 * Takes every terminal out of account and schedule. The directory entry stays until {@link forgetDirectory}.
 * Returns {instant, directory entry or nil}.
 */
const erase = `${NOW}${RECORD}${PRINT}
local newest = now
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  if #fields[at] == ${DIGEST_LENGTH} then
    newest = math.max(newest, generationOf(fields[at + 1]))
    redis.call('HDEL', KEYS[1], fields[at])
    redis.call('ZREM', KEYS[2], ARGV[1] .. fields[at])
  end
end
local instant = print(newest + 1)
redis.call('HDEL', KEYS[1], '${ACCOUNT_FIELDS.region}')
redis.call('HSET', KEYS[1], '${ACCOUNT_FIELDS.erasedAt}', instant)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], 'erased ' .. ARGV[1] .. ' ' .. instant)
return {instant, redis.call('HGET', KEYS[1], '${ACCOUNT_FIELDS.directory}')}
`;

/** KEYS account. Unless the account has come back: only an erased one runs out. */
const forgetDirectory = `
if redis.call('PTTL', KEYS[1]) > 0 then redis.call('HDEL', KEYS[1], '${ACCOUNT_FIELDS.directory}') end
`;

/**
 * KEYS account · ARGV generation, mark, directory entry as it was saved
 * Marks the entry, if it still stands: its accessId leads to the account. Returns 1, or 0 when the account was erased since.
 */
const markAccessId = `${NOW}${RECORD}${ACCOUNT}
if erasedAt(KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
if redis.call('HGET', KEYS[1], '${ACCOUNT_FIELDS.directory}') == ARGV[3] then
  redis.call('HSET', KEYS[1], '${ACCOUNT_FIELDS.directory}', ARGV[2] .. string.sub(ARGV[3], ${MARK_LENGTH + 1}))
end
return 1
`;

/** KEYS account · ARGV terminal, generation. Sets the header's read flag (byte 2) of that generation. Returns 1 if that changed it. */
const markRead = `${NOW}${RECORD}
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or generationOf(record) ~= tonumber(ARGV[2]) or string.byte(record, 2) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.sub(record, 1, 1) .. string.char(1) .. string.sub(record, 3))
return 1
`;

export const ACCOUNT_SCRIPTS = {
  remove: { numberOfKeys: 3, lua: remove },
  erase: { numberOfKeys: 2, lua: erase },
  forgetDirectory: { numberOfKeys: 1, lua: forgetDirectory },
  markAccessId: { numberOfKeys: 1, lua: markAccessId },
  markRead: { numberOfKeys: 1, lua: markRead },
  ...RESEAL_SCRIPTS,
} as const;
