package io.sdktokenbroker

import kotlin.time.Duration
import kotlinx.coroutines.*

/**
 * The sessions of your own login. The client calls both functions on `Dispatchers.IO`. If one throws, the caller of
 * the client gets a [BrokerError] with that exception as its cause: `network_unavailable` for an `IOException`,
 * `network_timeout` for a timeout of coroutines, else `session_unavailable`.
 */
interface SessionSource {
    /** The session of the user who is logged in now. */
    suspend fun session(): String
    /** A new session, after the broker answered 401 to [session]. */
    suspend fun renewedSession(): String
}

/** Turns what [source] throws into a [BrokerError], also if it does not answer within [deadline]. */
internal class AppSessions(private val source: SessionSource, private val deadline: Duration) {
    /** For a logout when the app cannot get a session. It is not in the storage. */
    @Volatile var last: String? = null

    suspend fun current() = typed(source::session)
    suspend fun renewed() = typed(source::renewedSession)

    private suspend fun typed(get: suspend () -> String): String = try {
        // In a coroutine of its own: nothing waits for a source that ignores its cancellation.
        withTimeout(deadline) { SharedRequest(get).await() }.also { last = it }
    } catch (error: Exception) {
        // Passes on the cancellation of the caller, and the end of the call's deadline.
        currentCoroutineContext().ensureActive()
        throw BrokerError.of(error)
    }
}

/**
 * Strings that outlive the process. They contain the token, the id of its user, and after a logout without a network
 * the session: use encrypted storage. A value must be on disk when [put] returns (`commit()`, not `apply()`). Any
 * thread may call.
 */
interface TokenStorage {
    fun get(key: String): String?
    fun put(key: String, value: String)
    fun remove(key: String)
}
