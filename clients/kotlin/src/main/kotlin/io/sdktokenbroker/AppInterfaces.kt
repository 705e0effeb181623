package io.sdktokenbroker

import java.util.concurrent.ConcurrentHashMap

/** The sessions of your own login. If a function throws, the caller of the client gets the exception. */
interface SessionSource {
    /** The session of the user who is logged in now. */
    suspend fun session(): String
    /** A new session, after the broker answered 401 to [session]. */
    suspend fun renewedSession(): String
}

/**
 * Strings that outlive the process. They contain the token, and after a logout without a network the session: use
 * encrypted storage. A value must be on disk when [put] returns (`commit()`, not `apply()`). Any thread may call.
 */
interface TokenStorage {
    fun get(key: String): String?
    fun put(key: String, value: String)
    fun remove(key: String)
}

/** For tests: it forgets everything when the process ends. */
class InMemoryTokenStorage : TokenStorage {
    private val values = ConcurrentHashMap<String, String>()
    override fun get(key: String) = values[key]
    override fun put(key: String, value: String) = values.set(key, value)
    override fun remove(key: String) { values.remove(key) }
}
