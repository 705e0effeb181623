package io.sdktokenbroker

import kotlin.time.Duration
import kotlinx.coroutines.*

/**
 * The sessions of your own login. The client calls both functions on a background thread (`Dispatchers.IO`). If one
 * throws, the caller of the client gets a [BrokerError] with that exception as its cause: `network_unavailable` for an
 * `IOException`, `network_timeout` for a timeout of coroutines, else `session_unavailable`.
 */
interface SessionSource {
    /** The session of the user who is logged in now. Return the one that you have, without a request. */
    suspend fun session(): String
    /** A new session, after the broker answered 401 to [session]. It may use the network. */
    suspend fun renewedSession(): String
}

/**
 * Strings that outlive the process. They contain the token, the id of its user, and after a logout without a network
 * the session: use encrypted storage. A value must be on disk when [put] returns (`commit()`, not `apply()`). The
 * client calls all functions on a background thread, one at a time.
 */
interface TokenStorage {
    fun get(key: String): String?
    fun put(key: String, value: String)
    fun remove(key: String)
}

/** The sessions of one user, until [end]. Turns what [source] throws into a [BrokerError], also if it never answers. */
internal class UserSessions private constructor(
    private val source: SessionSource, private val deadline: Duration, private val presence: CompletableJob,
) {
    constructor(source: SessionSource, deadline: Duration) : this(source, deadline, SupervisorJob())

    /** For a logout when the app cannot get a session. It is not in the storage. */
    @Volatile var last: String? = null
        private set

    /** Whether what [source] returns still belongs to this user. */
    val isPresent get() = presence.isActive

    suspend fun current() = ask(source::session)
    suspend fun renewed() = ask(source::renewedSession)

    /** The same user without a last session. */
    fun afterLogout() = UserSessions(source, deadline, presence)

    /** Another user is here. All calls fail with `logged_out`, because a later session would be the other user's. */
    fun end() = presence.cancel()

    private suspend fun ask(get: suspend () -> String): String {
        // Nothing waits for a source that ignores its cancellation.
        val answer = CompletableDeferred<String>(presence)
        val call = CoroutineScope(Dispatchers.IO).launch { answer.completeWith(runCatching { get() }) }
        try {
            return withTimeout(deadline) { answer.await() }.also { last = it }
        } catch (error: Exception) {
            // Passes on the cancellation of the caller, and the end of the call's deadline.
            currentCoroutineContext().ensureActive()
            throw if (isPresent) BrokerError.of(error) else BrokerError.loggedOut()
        } finally {
            answer.cancel()
            call.cancel()
        }
    }
}
