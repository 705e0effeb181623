package io.sdktokenbroker

import java.io.IOException
import kotlinx.coroutines.*

/** The sessions of your own login, for all calls of one client. It turns an exception of [source] into a [BrokerError]. */
internal class Sessions(private val source: SessionSource) {
    private class Renewal(val refused: String, val session: Deferred<Result<String>>)

    /** @property isKnown it was renewed before, for another request */
    class Renewed(val session: String, val isKnown: Boolean)

    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.IO)
    private var running: Renewal? = null
    /** The session that was refused last, and the one that replaced it. */
    @Volatile private var last: Pair<String, String>? = null

    /** Nothing waits for a source that ignores its cancellation. */
    suspend fun current(): String {
        val session = scope.async { runCatching { source.session() } }
        try {
            return session.await().getOrElse { throw failure(it) }
        } finally {
            session.cancel()
        }
    }

    /** One renewal at a time. It serves all requests that were refused with the same session. */
    suspend fun renewed(refused: String): Renewed {
        while (true) {
            val renewal = synchronized(this) {
                val active = running?.takeIf { it.session.isActive }
                last?.takeIf { (before, now) -> before == refused && now != refused }?.let { return Renewed(it.second, true) }
                active ?: start(refused).also { running = it }
            }
            val session = renewal.session.await()
            if (renewal.refused == refused) return Renewed(session.getOrElse { throw failure(it) }, false)
        }
    }

    /** The client never cancels it, and never interrupts its thread. */
    private fun start(refused: String) = Renewal(refused, scope.async {
        runCatching { source.renewedSession(refused) }.onSuccess { last = refused to it }
    })

    private fun failure(error: Throwable): Throwable = when (error) {
        is NoSession -> BrokerError(BrokerError.Kind.SESSION_NEEDED, BrokerError.SESSION_UNAVAILABLE, cause = error)
        is IOException -> BrokerError.noAnswer(error)
        is Exception ->
            BrokerError(BrokerError.Kind.TEMPORARY, BrokerError.SESSION_UNAVAILABLE, retryable = true, cause = error)
        else -> error
    }
}
