interface Guarantee {
  readonly guarantee: string;
  /** The title of a test, exactly as in its file. `%s` and `$…` stand for its cases. */
  readonly test: string;
  readonly file: string;
}

export interface GuaranteeSection {
  readonly title: string;
  /** What holds. */
  readonly text?: string;
  readonly rows: readonly Guarantee[];
}

/** Rows for tests of one file. @param guarantees from the title of a test to the guarantee that it shows */
function shownIn(file: string, guarantees: Readonly<Record<string, string>>): Guarantee[] {
  return Object.entries(guarantees).map(([test, guarantee]) => ({ guarantee, test, file }));
}

/** The sections of docs/guarantees.md. A test that is named here fails if the guarantee beside it does not hold. */
export const GUARANTEES: readonly GuaranteeSection[] = [
  {
    title: '1. One login per subject at a time, over all replicas',
    text: 'In one process, all callers share one renewal. Between processes, a lease of 5 s in Redis decides. One heartbeat extends all leases of a replica. A replica that does not get the lease waits for the token.',
    rows: [
      ...shownIn('test/integration/concurrent-reads.test.ts', {
        'log in once for 300 simultaneous reads of one new subject, and all reads get that token':
          'three replicas and 300 requests make one login',
        'log in 100 times for 300 simultaneous reads of 100 subjects': 'many subjects at once need one login each',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'needs one lease and one login for 300 concurrent reads':
          'reads in one process share one renewal and one lease',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'grants the lease of one subject to one of fifty owners': 'a lease has one owner',
        'grants a lease again after it ran out, and not to its late owner':
          'only the owner extends or releases a lease',
      }),
      ...shownIn('test/unit/broker/held-leases.test.ts', {
        'is extended, and still held after twice its duration': 'a lease is extended in time',
      }),
      ...shownIn('test/unit/broker/renewal.test.ts', {
        'keeps its lease while the login runs, even past the original end of the lease':
          'a login that takes longer than the lease keeps the lease',
        'acquires a lease of 5 s, whatever its login budget: %i ms':
          'the duration of a lease does not depend on the login',
        'gives its login the whole budget, however little the token has left: %i ms':
          'the time of a login does not depend on the token',
      }),
      ...shownIn('test/unit/vendor-api/login.test.ts', {
        'leaves each attempt that is sent its whole timeout, whatever is left of the budget':
          'each attempt that is sent gets its whole timeout',
      }),
      ...shownIn('test/unit/broker/held-leases.test.ts', {
        'shares one command with all other leases': 'one command extends all leases',
      }),
      ...shownIn('test/unit/broker/renewal.test.ts', {
        'makes one login when ten replicas renew one subject at the same time':
          'a replica that waits gets the token, not the lease',
      }),
      ...shownIn('test/unit/broker/lost-announcements.test.ts', {
        'a replica that waits for another replica’s login still finds its token':
          'it also gets the token if the announcement is lost',
        'a replica asks the store again for a token that the store has not confirmed':
          'a replica asks again for a token that the store has not confirmed',
      }),
      ...shownIn('test/unit/broker/renewal.test.ts', {
        'announces a failure to the waiting replicas, which then do not retry':
          'waiting replicas learn of a failed login, and do not repeat it',
      }),
      ...shownIn('test/integration/concurrent-reads.test.ts', {
        'finish a login for the other waiting reads if the first caller disconnects':
          'a caller that disconnects does not end the login for others',
      }),
      ...shownIn('test/integration/accounts.test.ts', {
        'reported 40 times at once on two replicas causes exactly one login, and every report gets the new token':
          'any number of reports of a refused token cause one login',
        'reported in a loop is rate-limited, without an effect on other terminals and accounts':
          'a loop of such reports is limited',
      }),
    ],
  },
  {
    title: '2. A process frozen past its lease overwrites nothing',
    text: 'Each lease comes with a generation that is larger than all before. The store refuses a write if there is a newer generation, logout or erasure.',
    rows: [
      ...shownIn('test/integration/replica-failures.test.ts', {
        'is replaced by the other replica, and overwrites nothing after it resumes':
          'a real process that is stopped during a login and resumed later overwrites nothing',
        'gives its app a token: no logout, and at most one more login, whose token both serve':
          'the app of that process gets a token, and no logout is reported. If the two logins overlapped, there is one more',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'saves one of two tokens with the same generation: the kept one is suspect and due at once':
          'two tokens of the same generation are not both stored',
        'makes the token of the later of two overlapping logins suspect and due at once, if they are written %s':
          'the later of two overlapping logins is kept and due at once',
        'makes the token of a lease suspect if a login whose lease was lost was answered after that lease was granted':
          'a dropped login makes the token of its successor suspect',
      }),
      ...shownIn('test/unit/broker/renewal-waits.test.ts', {
        'that has lost its lease to another replica waits for the token of that replica, and is no logout: %s':
          'a lost lease is no logout, also for a background renewal',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'tells an owner of a logout or an erasure, also if its lease was granted again: %s it':
          'the store tells a lost lease from a logout and an erasure',
        'grants a larger generation each time, across saves, releases and logouts': 'generations only grow',
        'refuses the write of an owner whose lease was granted again, before the next owner wrote':
          'a late write is refused before the next owner has written',
        'refuses the write of an owner whose lease was granted again, after the next owner wrote':
          'a late write is refused after the next owner has written',
        'refuses the write of an owner whose lease was granted again to an owner that failed':
          'a late write is refused if the next owner failed',
        'restores a token that is older than a lease, and lets the owner of the lease replace it':
          'a lease that stored no token refuses no write-back',
        'restores no token over a newer one, or after a logout or an erasure': 'a later write-back is fenced too',
        'restores no token that is older than a logout, before and after a lease':
          'a lease after a logout does not hide the logout',
      }),
      ...shownIn('test/unit/store/redis/rekey.test.ts', {
        'does not replace a token that was saved in between': 'encryption with a new key is fenced too',
      }),
      ...shownIn('test/unit/broker/token-cache.test.ts', {
        'never replaces a newer token with an older one': 'memory never returns to an older token',
      }),
    ],
  },
  {
    title: '3. Token, schedule and account index change in one atomic step',
    text: 'Each token has a due time, and each due time has a token.',
    rows: [
      ...shownIn('test/unit/store/redis/atomic-save.test.ts', {
        'each change writes token, schedule and account index in one command':
          'one command changes token, schedule and account index',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'restores a lost token, with its due time': 'a stored token has a due time',
        'schedules nothing for a subject without a token': 'there is no due time without a token',
        'deletes token and due time on logout, and a second logout does no harm': 'a logout deletes both',
        'deletes an expired token when its lease is asked for': 'an expired token is deleted from all three',
      }),
      ...shownIn('test/unit/store/redis/keys.test.ts', {
        'are four different ones in one hash slot of a cluster': 'all keys of a subject are in one hash slot',
      }),
      ...shownIn('test/integration/redis-cluster.test.ts', {
        'scripts run on every node, also after the nodes have lost their script caches':
          'every node of a Cluster runs the scripts',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'allows no more terminals than that when they log in at the same time':
          'an account gets no more terminals than allowed, even at the same time',
        'pins the country of an account at its first login, for all its terminals':
          'all terminals of an account have one country',
        'finds an account’s terminals and accessId, and the account by its accessId, also without tokens':
          'an accessId leads to one account, also when its tokens are gone',
      }),
    ],
  },
  {
    title: '4. A valid token survives every failure',
    text: 'An error of the store does not mean that there is no token. A replica keeps a token in memory for an outage, and never serves it past its margin.',
    rows: [
      ...shownIn('test/faults/vendor-down.test.ts', {
        'of kind %s: the broker serves known tokens, reports an error to new terminals, sends few logins, and recovers':
          'known tokens survive a vendor that is down in seven ways',
      }),
      ...shownIn('test/faults/redis-trouble.test.ts', {
        'hangs for 10 s, then is down for 8 s: the broker serves every known token, and writes lost tokens back':
          'known tokens survive a Redis that hangs, dies and comes back empty',
        '%s: the broker serves known and new terminals, and no read waits long for Redis':
          'known tokens survive a bad connection to Redis, in six ways',
        '%s: the broker serves known and new terminals, and writes the new tokens to Redis later':
          'known tokens survive a Redis that refuses writes',
      }),
      ...shownIn('test/faults/topologies.test.ts', {
        '%s: no read fails, and the broker renews every token in time':
          'no read fails when a Cluster or Sentinels lose a master',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'serves a known token from memory without a login until it is near its end':
          'an error of the store does not count as a missing token',
      }),
      ...shownIn('test/unit/http/routes/account-routes.test.ts', {
        'does not report a failing store as not_found': 'the internal API does not treat it as a missing account',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'serves the old token when its renewal fails, and does not retry at every read':
          'a failed renewal does not remove the old token',
      }),
      ...shownIn('test/unit/broker/read-waits.test.ts', {
        'is not answered from memory at the margin of a token with a short life, although a read has just started its renewal':
          'the same holds right after a read has started a renewal',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'never serves a token past its expiry margin, even if no other token can be obtained':
          'no token is served past its margin',
      }),
      ...shownIn('test/unit/broker/token-cache.test.ts', {
        'treats an entry as fresh for one minute while announcements arrive, and for two seconds otherwise':
          'a replica serves from memory as long as announcements allow',
        'treats an entry from before a gap in the announcements as stale': 'a gap in the announcements ends this',
      }),
      ...shownIn('test/unit/store/redis/data-loss.test.ts', {
        'from an older snapshot: that it went back':
          'a Redis that went back in time is noticed, also by a replica that made no change',
        'from an older snapshot, and has new changes since: that it went back':
          'this holds if others have written since',
        'without its data: that it has lost it': 'a Redis that came back empty is noticed',
        'a loss is reported although the connection was never lost, as after a restore in place':
          'a loss is noticed without a new connection',
      }),
      ...shownIn('test/integration/logout-wins.test.ts', {
        'gets newer tokens, logouts and erasures back, and each replica says so':
          'real replicas give Redis back what it has lost, and say so',
      }),
      ...shownIn('test/unit/store/redis/connection/standstill.test.ts', {
        'a process that stands still does not take that for a failure of Redis: it reads first what has arrived':
          'an own stall is no failure of Redis',
      }),
      ...shownIn('test/unit/store/redis/announcements.test.ts', {
        'is unknown at most four seconds after Redis hangs, and a later time when it goes on':
          'a replica notices a gap within seconds',
      }),
      ...shownIn('test/unit/broker/token-cache.test.ts', {
        'keeps a stale entry': 'a stale entry stays in memory for an outage',
        'stays within its memory limit, and keeps the tokens that came or were read last':
          'memory has a limit in bytes',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'makes one login for an unknown subject with many reads, and writes the token back after the outage':
          'during an outage, a new terminal costs one login, which is written back later',
        'gets the token that another read has found in the store':
          'a read whose login fails gets a token that the replica knows by then',
      }),
      ...shownIn('test/unit/vendor-api/login-turns.test.ts', {
        'a replica uses a quarter of the login budget': 'during an outage, each replica has a limit of logins',
      }),
      ...shownIn('test/integration/renewal.test.ts', {
        'that apps read ten times per second for a minute are always valid, without extra logins':
          'a token in use is always valid',
      }),
      ...shownIn('test/integration/key-rotation.test.ts', {
        'stay readable on all replicas during a rotation to key B, without a login':
          'a change of encryption keys causes no failed read and no login',
      }),
      ...shownIn('test/unit/broker/readiness.test.ts', {
        'a replica stays ready when its store becomes unreachable, and its report says so':
          'a replica stays ready without Redis',
      }),
      ...shownIn('test/integration/oauth-server.test.ts', {
        'stay accepted for 10 s without the server if they are cached, and are never refused if they are not':
          'recently accepted sessions stay accepted while their server is down',
      }),
    ],
  },
  {
    title: '5. The login rate is limited',
    text: 'All replicas share one budget. Newcomers go before returning accounts, and waiting apps before background renewals.',
    rows: [
      ...shownIn('test/faults/login-budget.test.ts', {
        'spreads 80 renewals that are due together: every read gets a valid token, and logins of waiting apps go first':
          '80 renewals due at once do not block new terminals, on three replicas',
        'sends few logins during a vendor outage of 30 s with 60 due renewals, then catches up within the budget':
          'an outage with due renewals causes few logins, and no burst after it',
      }),
      ...shownIn('test/unit/store/redis/scripts/budget-scripts.test.ts', {
        'replicas share one login queue': 'all replicas share one queue',
      }),
      ...shownIn('test/unit/token/login-queue.test.ts', {
        'is kept in any one second: at most the rate per second plus the burst': 'the rate is kept in any second',
        'leaves at most half of the places to renewals while it waits':
          'renewals get at most half of the places while an app waits',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'queues no login for longer than 2 s, and reports when there will be a place in the queue':
          'no login queues for longer than 2 s',
      }),
      ...shownIn('test/unit/vendor-api/login-faults.test.ts', {
        'takes a turn for each attempt': 'each attempt takes a turn',
      }),
      ...shownIn('test/unit/vendor-api/retries.test.ts', {
        'at most three attempts, whatever the faults and their order': 'a login has at most three attempts',
        'is 0 to 250 ms, then 0 to 500 ms: full jitter': 'there is full jitter between them',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'gets no cool-down after one failure, then a cool-down that doubles with each failure':
          'an account that fails gets a longer pause each time',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'lets an account cool down from its second failure in a row, longer each time, until it has a token':
          'the pause applies on all replicas, because it is in the store',
        'lets an account cool down for as long as the vendor asks, from its first failure, for an hour at most':
          'the pause lasts as long as the vendor asks, if it says that logins are too frequent',
        'lets all terminals of an account cool down together, and counts failures at once as one; other accounts go on':
          'the pause applies to all terminals of the account, and to no other account',
      }),
      ...shownIn('test/unit/token/renewal-timing.test.ts', {
        'has a random jitter from half to one and a half of that delay': 'a failed renewal is postponed, with jitter',
      }),
      ...shownIn('test/unit/vendor-api/login-faults.test.ts', {
        'gets no logins of any country for 5 s, then one trial attempt; other domains are not affected':
          'a domain that is down gets no login, and then one attempt',
      }),
      ...shownIn('test/hostile/vendor-circuit.test.ts', {
        'one account to which the vendor answers %s costs no other account its login, and no known token its read':
          'no account costs another account its login: unknown codes, "too frequent" and HTTP errors',
      }),
      ...shownIn('test/unit/vendor-api/circuit-breaker.test.ts', {
        'do not open the circuit, however many of their attempts fail':
          'eight accounts whose logins all time out do not open the circuit',
      }),
      ...shownIn('test/hostile/login-fairness.test.ts', {
        '25 accounts that log in and out in a loop hold up neither newcomers nor known tokens':
          '25 accounts in a loop delay newcomers little',
      }),
      ...shownIn('test/unit/token/login-queue.test.ts', {
        'delays a newcomer by 250 ms and a place at most, and by half a second beside due renewals':
          'returning accounts delay a newcomer by at most 250 ms and one place',
        'leaves half of the places to newcomers and a fourth to renewals, and gets a fourth itself':
          'no kind of login starves',
        'gets its share although %s take each place as it becomes free':
          'newcomers that ask all the time do not take each place',
      }),
      ...shownIn('test/unit/broker/renewals-beside-newcomers.test.ts', {
        'two replicas with a budget of $perSecond/s renew $tokens tokens in time, although $newcomers newcomers a second want it':
          'more newcomers than the budget serves do not keep a token from its renewal',
      }),
      ...shownIn('test/hostile/login-fairness.test.ts', {
        'an account that logs in and out in a loop gets no more than its limit, over all replicas':
          'an account has its own limit over all replicas',
      }),
      ...shownIn('test/unit/vendor-api/login-faults.test.ts', {
        'is not assumed after a single failure': 'a single failure does not open a circuit',
      }),
      ...shownIn('test/unit/broker/refresh-worker.test.ts', {
        'renews 200 tokens that become due together, loses none, and runs at most 128 renewals at a time':
          'a replica runs at most 128 renewals at a time',
      }),
      ...shownIn('test/unit/token/renewal-timing.test.ts', {
        'is spread evenly over the accounts': 'tokens that were issued together do not fall due together',
      }),
    ],
  },
  {
    title: '6. Unused tokens are not renewed for ever',
    text: 'A token that was renewed and that no app has read since is not renewed again. Its first read makes it due again. This costs one write for each generation.',
    rows: [
      ...shownIn('test/integration/renewal.test.ts', {
        'that no app reads are renewed once, then expire, and the next read logs in again':
          'an unused token is renewed once, on two replicas and counted at the vendor',
      }),
      ...shownIn('test/unit/broker/refresh-worker.test.ts', {
        'renews an unread token once, then lets it expire and removes it from the due queue':
          'an unused token is removed from the due queue',
        'renews an unread token as many times in a row as configured':
          'an unused token is renewed as many times as configured',
      }),
      ...shownIn('test/integration/renewal.test.ts', {
        'that an app reads once after each renewal are renewed again, without another read':
          'a token that is in use again is renewed again: on two replicas, and counted at the vendor',
      }),
      ...shownIn('test/unit/broker/refresh-worker.test.ts', {
        'renews a token again that an app has read after its last renewal, also if it is read only once':
          'one read after each renewal is enough',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'makes a token due earlier with the first read of its generation, and with no other read':
          'the first read makes the token due',
        'makes no token due later with a read, and makes no subject without a token due':
          'a read never postpones a renewal',
        'keeps a token that is read during its renewal from a second claim, and makes it due if the worker dies':
          'a read during a renewal counts if that renewal fails',
      }),
      ...shownIn('test/unit/broker/write-back.test.ts', {
        'an app’s read of a token is written too, even if another replica has restored the token as unread':
          'a read is not lost with the data of Redis',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'is stored once per generation, and retried if the store fails':
          'the read flag is stored once for each generation',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'sets the read flag of one generation only, and reports the first read':
          'the read flag belongs to one generation',
      }),
    ],
  },
  {
    title: '7. A worker that dies loses nothing',
    text: 'What it has claimed is due again after 2 s, and what it was renewing when its leases end. Another worker takes it over. A renewal that fails each time is postponed, and blocks no other.',
    rows: [
      ...shownIn('test/integration/replica-failures.test.ts', {
        "a dead replica's subjects are renewed by another within 7 s: those that apps wait for, and those that it renews":
          'a replica that dies is replaced, also if it has extended its leases',
        'loses no token: the other replica renews every token in time':
          'a replica that crashes during renewals loses no token',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'gives a subject to another worker after its worker died': 'a lease ends by itself',
        'gives each due subject to one of ten workers': 'one worker has a claim at a time',
        'makes no subject due whose lease is held, until that lease ends': 'a subject whose lease is held is not due',
      }),
      ...shownIn('test/unit/broker/unreadable-due-entry.test.ts', {
        'renewals that always fail are rescheduled, and do not block tokens that are due after them':
          'failing renewals do not block the queue',
        'a record that no key can decrypt is postponed by an hour, and causes no login':
          'a record that no key can decrypt does not block it',
        'an entry without a valid record does not stop the renewals of its shard':
          'an entry that is not a record does not block it',
      }),
      ...shownIn('test/integration/redis-cluster.test.ts', {
        'a master that hangs does not block claims on the other masters':
          'a hanging master of a cluster does not block it',
      }),
      ...shownIn('test/unit/broker/worker-claims.test.ts', {
        'nothing that it claims while it stops': 'a worker that stops starts no renewal',
      }),
      ...shownIn('test/unit/broker/renewal.test.ts', {
        'keeps the old token when it fails, and the due queue schedules a retry':
          'a failed renewal keeps its token and gets another try',
      }),
      ...shownIn('test/integration/shutdown.test.ts', {
        'during a renewal leaves no lease behind, so another replica can renew immediately':
          'a replica that shuts down leaves its work to others at once',
      }),
    ],
  },
  {
    title: '8. Logout wins',
    text: 'A logout wins over a login that is still running, with or without a lease.',
    rows: [
      ...shownIn('test/integration/accounts.test.ts', {
        'during a login stores no token, and the next read starts a new login':
          'a logout wins over a running login on another replica',
      }),
      ...shownIn('test/integration/logout-wins.test.ts', {
        'is ended by a logout on replica %i: its token goes nowhere':
          'a logout wins over a running login without a lease, on either replica',
        'is ended by an erasure on another replica: the account is not there again':
          'an erasure wins over a running login without a lease',
      }),
      ...shownIn('test/unit/broker/login.test.ts', {
        'is refused by the store, if the announcement was lost':
          'the store refuses such a login, if the announcement is lost',
        'hides no erasure that only the store knows either, after the replica has renewed its token under a lease':
          'memory forgets no erasure when a token is renewed',
        'is not written before the clock of the store is known: an erasure after it refuses no new session':
          'an erasure refuses no session that was issued after it',
      }),
      ...shownIn('test/unit/store/redis/connection/connection.test.ts', {
        'a connection goes on although ioredis has given up, as it does if a failover is announced while it asks a Sentinel':
          'a replica finds the new master, also if the failover is announced while it looks for the master',
      }),
      ...shownIn('test/integration/logout-wins.test.ts', {
        'for a refused token writes its token at once, so no worker renews the refused one':
          'the token of a login without a lease is written at once',
        'beside the same login of another replica, soon after a logout: the replicas agree on a token that is valid':
          'replicas agree on one token after logins without a lease',
        'on a replica that has just started replaces the token of another one, which the vendor has ended':
          'this holds for a replica that has just started',
        'an erasure that was answered 503, because Redis stalled, does not take place later':
          'an erasure that was answered 503 does not take place later',
      }),
      ...shownIn('test/unit/store/redis/scripts/deadlines.test.ts', {
        'a command that timed out while Redis hung is not executed later, unless a generation or an owner fences it':
          'a command that timed out is not executed later',
      }),
      ...shownIn('test/integration/planned-failover.test.ts', {
        'a planned failover by the Sentinels loses no erasure that was answered, and refuses few':
          'a planned failover loses no erasure',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'repeats a logout that the store has lost, and logs in anew': 'a read repeats a logout that Redis has lost',
        'repeats an erasure that the store has lost, refuses its older sessions, and logs newer ones in anew':
          'a read repeats an erasure that Redis has lost',
        'does so although the clock of the replica was set back by an hour after the logout':
          'a clock that is set back makes no logout later',
      }),
      ...shownIn('test/integration/accounts.test.ts', {
        'during a login also fails a request that waits on another replica, and brings no token back':
          'a logout also ends a request that waits for that login on another replica',
      }),
      ...shownIn('test/unit/broker/renewal-vs-logout.test.ts', {
        'fails with the logout of its terminal like the login, and a request that arrives after the logout logs in':
          'a request that arrives after the logout logs in, once the ended login has released its lease',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'lets a logout win over a login in progress, and lets no other login start until that one ends':
          'a logout wins in the store, and no other login starts before the running one ends',
      }),
      ...shownIn('test/integration/accounts.test.ts', {
        'on one replica stops the other replica from returning the token within a second':
          'a logout wins over another replica’s memory within a second',
      }),
      ...shownIn('test/unit/broker/lost-announcements.test.ts', {
        'a replica serves a token for at most one minute after a logout on another replica':
          'a logout wins within a minute if the announcement is lost',
      }),
      ...shownIn('test/unit/broker/token-cache.test.ts', {
        'removes the token of a logged-out terminal, and a late read does not restore it':
          'a logout wins over a late read',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'restores no token over a newer one, or after a logout or an erasure': 'a logout wins over a write-back',
      }),
      ...shownIn('test/unit/store/redis/rekey.test.ts', {
        'does not restore a token that was logged out or erased in between':
          'a logout wins over encryption with a new key',
      }),
      ...shownIn('test/integration/accounts.test.ts', {
        'rejects old sessions on the other replica, accepts newer ones, and leaves only its own time in Redis':
          'an erasure ends older sessions everywhere, and leaves only its own time in Redis',
      }),
      ...shownIn('test/contract/token-store.contract.ts', {
        'refuses the logout of a session from before an erasure, and changes nothing then':
          'a session from before an erasure ends no token of a later one',
        'erases an account: its terminals, due times, country and accessId, and logins in progress':
          'an erasure also ends running logins',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'still refuses a session of an account that this replica knows to be erased':
          'an erasure that the replica knows holds while Redis is down',
      }),
      ...shownIn('test/unit/broker/renewal-vs-logout.test.ts', {
        'fails after a logout, but requests that arrive after the logout log in again, on any replica':
          'a new login after a logout is not refused because of it',
        'of an app fails after a logout or an erasure, but requests that arrive after it log in again, on any replica':
          'nor is one that comes while the ended login still runs',
      }),
    ],
  },
  {
    title: '9. Secrets stay in',
    text: 'Tokens are encrypted in Redis and bound to their place. Keys in Redis are digests. No secret appears in logs, errors, metrics, traces or the output of `check`.',
    rows: [
      ...shownIn('test/integration/secrets.test.ts', {
        'no secret reaches a log or an error, and none reaches Redis unencrypted, whatever happens':
          'logs, errors and Redis show no secret, with and without faults',
      }),
      ...shownIn('test/integration/tracing.test.ts', {
        'nothing of a trace went to the vendor or the customer cloud, and no export names a person or a secret':
          'traces show no secret and nothing personal',
      }),
      ...shownIn('test/integration/metrics.test.ts', {
        '/metrics counts the work of a real broker, and shows no secret': 'metrics show no secret',
      }),
      ...shownIn('test/integration/check.test.ts', {
        'reports ok if nothing is wrong, logs nobody in and leaves nothing in Redis':
          'the output of `check` shows no secret if all is well',
        'reports each problem of the configuration in a line, and still checks the valid parts':
          'the output of `check` shows no secret if there are problems',
      }),
      ...shownIn('test/unit/config/variables.test.ts', {
        'any environment gives a configuration or a list of problems, and no problem shows a secret':
          'a refused configuration shows no secret',
      }),
      ...shownIn('test/unit/store/redis/records/record-codec.test.ts', {
        'does not decode at another key, for another terminal, or with the header of another record':
          'a record can be decrypted only at its own key',
        'does not decode with any single bit flipped, except the read flag and the suspect flag':
          'a record can be decrypted only if no bit has changed',
      }),
      ...shownIn('test/unit/store/redis/keys.test.ts', {
        'begin with the prefix and show nothing of the subject': 'keys are digests',
      }),
      ...shownIn('test/unit/store/redis/connection/connection.test.ts', {
        'shows no argument of its command': 'errors of Redis show no arguments',
      }),
      ...shownIn('test/unit/vendor-api/login.test.ts', {
        'errors and log lines show nothing secret, even if the vendor echoes the whole request':
          'errors and log lines show nothing that the vendor echoes',
      }),
    ],
  },
  {
    title: '10. A repeated read is cheap',
    text: 'A read with a known session and a known token needs no round trip, no timer and no serialisation, and writes no line to the log at `info`.',
    rows: [
      ...shownIn('test/unit/broker/hot-path.test.ts', {
        'a read from memory calls no store method, sets no timer, and returns the cached bytes':
          'a read from memory needs no round trip and no timer, and sends the same bytes',
      }),
      ...shownIn('test/unit/broker/token-broker.test.ts', {
        'asks neither the store nor the vendor while the token in memory is fresh':
          'this holds as long as the token is fresh',
      }),
      ...shownIn('test/unit/http/routes/sdk-token-routes.test.ts', {
        'sends the prepared body byte for byte, with no-store and its ETag': 'the body is sent as it is',
      }),
      ...shownIn('test/unit/http/repeated-reads.test.ts', {
        'gets the same status, headers and body as the first one, with a request id of its own':
          'a repeated read gets the same answer',
        'gets the renewed token after a background renewal': 'a repeated read gets what has changed since',
      }),
      ...shownIn('test/hostile/session-mixups.test.ts', {
        'no answer belongs to another account than the session of its request: %s':
          'all remembered answers belong to the session of the request',
      }),
      ...shownIn('test/unit/session/known-headers.test.ts', {
        'is accepted at once: %s': 'a JWT with a known header is verified at once',
        'has the same outcome as without a known header: %j': 'it is refused whenever jose refuses it',
      }),
      ...shownIn('test/unit/session/check-queue.test.ts', {
        'at most 8 checks run in one turn of the event loop, in order': 'many new sessions do not delay other reads',
      }),
      ...shownIn('test/unit/session/session-cache.test.ts', {
        'is checked once, and is never mixed up with another': 'a session is verified once',
      }),
      ...shownIn('test/unit/http/public-app.test.ts', {
        'has no line for good requests at info': 'a good request writes no line at `info`',
      }),
    ],
  },
  {
    title: 'Besides',
    rows: [
      ...shownIn('test/integration/accounts.test.ts', {
        'two apps have separate tokens for the same account and terminal':
          'two apps, accounts or phones never share a token',
      }),
      ...shownIn('test/unit/token/subject.test.ts', {
        'is never shared by different subjects': 'different subjects never share an id',
      }),
      ...shownIn('test/unit/http/requested-subject.test.ts', {
        'is always a configured app, and never differs from the session’s app':
          'a session gets no token of another app',
      }),
      ...shownIn('test/integration/bad-sessions.test.ts', {
        'with a JWKS URL': 'a bad session causes no login and no key',
      }),
      ...shownIn('test/integration/broken-vendor.test.ts', {
        'causes the documented error, leaves nothing in the store, and does no harm after it recovers':
          'a broken answer of the vendor is not stored',
      }),
      ...shownIn('test/unit/vendor-api/answer.test.ts', {
        'keep every digit of any integer': 'no number of the vendor is rounded',
      }),
      ...shownIn('test/unit/vendor-api/signed-call.test.ts', {
        'equals the test vector byte for byte, for nonce $nonce at $host':
          'signatures and whole logins equal the vendor’s test vectors',
      }),
      ...shownIn('test/integration/shutdown.test.ts', {
        'answers requests in flight and those that a load balancer still sends':
          'a shutdown answers running requests and leaves nothing behind',
      }),
      ...shownIn('test/upgrade/upgrade.test.ts', {
        'replicas of the last release and of the present code share one Redis, upgraded and taken back under load':
          'an upgrade, and the way back, lose no token and no logout',
      }),
      ...shownIn('test/integration/service.test.ts', {
        'leaves no connection open, after it closes and after a start that fails': 'no connection outlives a service',
      }),
      ...shownIn('test/unit/config/config.test.ts', {
        'are reported all at once, by name, in the order of the documents': 'a wrong configuration is reported in full',
      }),
    ],
  },
];
