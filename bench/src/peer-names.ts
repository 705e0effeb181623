/** Who is measured, in the order of the tables. */
export const PEERS = ['bare', 'naive', 'async-cache-dedupe', 'bentocache', 'broker'] as const;
export type PeerName = (typeof PEERS)[number];

/** Those that know tokens. */
export const CACHES = ['naive', 'async-cache-dedupe', 'bentocache', 'broker'] as const satisfies PeerName[];
