package io.sdktokenbroker.java

import io.sdktokenbroker.HostAccount
import io.sdktokenbroker.SessionSource
import io.sdktokenbroker.ShareDirectory
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runInterruptible

/**
 * A [SessionSource] in Java. The client calls both methods on a background thread, so they may block. `null` counts as
 * an exception, which is temporary: throw `NoSession` if the user has to log in.
 */
abstract class BlockingSessionSource : SessionSource {
    /** The session of the user who is logged in now. Return the one that you have, without a request. */
    @Throws(Exception::class)
    protected abstract fun currentSession(): String?

    /** Another session than [refused]. It is never interrupted: see [SessionSource.renewedSession]. */
    @Throws(Exception::class)
    protected abstract fun newSession(refused: String): String?

    final override suspend fun session() = runInterruptible { present(currentSession()) }
    final override suspend fun renewedSession(refused: String) = present(newSession(refused))

    private fun present(session: String?) = checkNotNull(session) { "The source has returned null" }
}

/** A [ShareDirectory] in Java, for an app whose cloud has other calls than `CloudShareDirectory`. It may block. */
abstract class BlockingShareDirectory : ShareDirectory {
    /** @param account as the user typed it. @return `null` if there is no such account */
    @Throws(Exception::class)
    protected abstract fun findByName(account: String): HostAccount?

    /** Accounts that are unknown are missing from the result. */
    @Throws(Exception::class)
    protected abstract fun findByAccessIds(accessIds: List<String>): List<HostAccount>

    final override suspend fun accountByName(account: String) = runInterruptible(Dispatchers.IO) { findByName(account) }
    final override suspend fun accountsByAccessIds(accessIds: List<String>) =
        runInterruptible(Dispatchers.IO) { findByAccessIds(accessIds) }
}
