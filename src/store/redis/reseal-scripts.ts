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

export const RESEAL_SCRIPTS = { resealField: { numberOfKeys: 1, lua: resealField } } as const;
