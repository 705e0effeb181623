/** KEYS any of a shard · ARGV channel, text. Published where the shard's announcements are. */
const beat = `
redis.call('PUBLISH', ARGV[1], ARGV[2])
`;

export const ANNOUNCEMENT_SCRIPTS = { beat: { numberOfKeys: 1, lua: beat } } as const;
