package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.TestCloud
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import io.sdktokenbroker.support.page
import java.io.IOException
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** The client and the app's own login. The names begin with the ids of `clients/cases.md`. */
class SessionTest {
    private val broker = LocalBroker.shared
    private val account = broker.newAccount()
    private val proxy = TestProxy(broker.port)
    private val ended = broker.session(account, (-3_600).seconds)

    /** An app with rotating refresh tokens: a renewal that does not come to its end loses the session. */
    private inner class RotatingSessions : SessionSource {
        @Volatile var current = ended
        @Volatile var mayEnd = CompletableDeferred(Unit)
        val refused = CopyOnWriteArrayList<String>()
        val renewed = CopyOnWriteArrayList<String>()

        override suspend fun session() = current

        override suspend fun renewedSession(refused: String): String {
            this.refused += refused
            mayEnd.await()
            current = broker.session(account)
            renewed += current
            return current
        }
    }

    private val sessions = RotatingSessions()
    private val client = broker.client(sessions, port = proxy.port)

    @AfterEach
    fun closeProxy() = proxy.close()

    private fun failure(client: SdkTokenClient) = assertThrows<BrokerError> { runBlocking { client.sdkToken("alice") } }

    private fun failureOf(source: suspend () -> String): BrokerError = failure(
        broker.client(
            object : SessionSource {
                override suspend fun session() = ended
                override suspend fun renewedSession(refused: String) = source()
            },
        ),
    )

    @Test
    fun `session-renewed - the source is asked once, and told which session was refused`() = runBlocking {
        assertTrue(broker.vendorAccepts(client.sdkToken("alice").accessToken))
        assertEquals(listOf(ended), sessions.refused)
        client.sdkToken("alice")
        assertEquals(1, sessions.refused.size)
    }

    @Test
    fun `session-refused-twice - a session is needed, whatever the body of the second 401 is`() {
        val bodies = listOf("text/html" to "Who are you?", "application/json" to "{}", "application/json" to """{"code":"x"}""")
        for ((index, body) in bodies.withIndex()) {
            proxy.answer = { page("401 Unauthorized", body.second, type = body.first) }
            val error = failure(broker.client(TestSessions(broker), port = proxy.port))
            assertEquals(Kind.SESSION_NEEDED, error.kind)
            assertEquals(if (index < 2) "session_invalid" else "x", error.code)
            assertEquals(2 * (index + 1), proxy.requests.size)
        }
    }

    @Test
    fun `no-session - only NoSession of the source means that the user has to log in`() {
        val reason = NoSession("the refresh token has ended")
        val error = failureOf { throw reason }
        assertEquals(Kind.SESSION_NEEDED to BrokerError.SESSION_UNAVAILABLE, error.kind to error.code)
        assertSame(reason, error.cause)
    }

    @Test
    fun `source-fails - the failure is temporary, and the user stays logged in`() {
        val reasons = listOf(
            IllegalStateException("HTTP 503"), java.util.concurrent.CancellationException("of the source"),
            BrokerError(Kind.SESSION_NEEDED, "session_expired"),
        )
        val errors = reasons.map { failureOf { throw it } } +
            failureOf { withTimeout(10.milliseconds) { delay(60.seconds).let { "" } } }
        assertEquals(List(4) { Kind.TEMPORARY to BrokerError.SESSION_UNAVAILABLE }, errors.map { it.kind to it.code })
        assertTrue(errors.all { it.retryable })
    }

    @Test
    fun `source-without-network - the failure is one of the network`() {
        val error = failureOf { throw IOException("no network") }
        assertEquals(Kind.NETWORK to BrokerError.NETWORK_UNAVAILABLE, error.kind to error.code)
    }

    @Test
    fun `renewal-outlives-deadline - the error is network_timeout, and the next call uses the renewed session`() {
        sessions.mayEnd = CompletableDeferred()
        val impatient = broker.client(sessions, port = proxy.port, totalDeadline = 1.seconds)
        assertEquals(BrokerError.NETWORK_TIMEOUT, failure(impatient).code)
        sessions.mayEnd.complete(Unit)
        runBlocking {
            impatient.sdkToken("alice")
            assertEquals(listOf(ended), sessions.refused)
        }
    }

    @Test
    fun `renewal-outlives-caller - only the waiting is cancelled, and the next call uses the renewed session`() =
        runBlocking {
            sessions.mayEnd = CompletableDeferred()
            val caller = launch(Dispatchers.Default) { client.sdkToken("alice") }
            eventually { sessions.refused.size == 1 }
            caller.cancelAndJoin()
            sessions.mayEnd.complete(Unit)
            client.sdkToken("alice")
            assertEquals(listOf(ended), sessions.refused)
            assertEquals(1, sessions.renewed.size)
        }

    @Test
    fun `renewal-outlives-logout - the waiting call is logged out, and the next one uses the renewed session`() =
        runBlocking {
            sessions.mayEnd = CompletableDeferred()
            val caller = async(Dispatchers.Default) { runCatching { client.sdkToken("alice") } }
            eventually { sessions.refused.size == 1 }
            // The broker refuses it: the session has ended, and the renewal is not for this logout.
            assertFalse(client.logout())
            assertEquals(BrokerError.LOGGED_OUT, (caller.await().exceptionOrNull() as BrokerError).code)
            sessions.mayEnd.complete(Unit)
            client.sdkToken("alice")
            assertEquals(listOf(ended), sessions.refused)
        }

    @Test
    fun `one-renewal - the token and the share directory share one`() = runBlocking {
        sessions.mayEnd = CompletableDeferred()
        TestCloud(broker) { it in sessions.renewed }.use { cloud ->
            val directory = CloudShareDirectory(cloud.url, client)
            val calls = listOf(
                async(Dispatchers.Default) { client.sdkToken("alice") },
                async(Dispatchers.Default) { directory.accountByName("nobody") },
            )
            eventually { proxy.answers.size == 1 && cloud.refused == 1 }
            delay(300.milliseconds)
            sessions.mayEnd.complete(Unit)
            calls.awaitAll()
            assertEquals(listOf(ended), sessions.refused)
        }
    }

    @Test
    fun `newer-session-known - the newest session is used, and if it has ended, too, it is renewed`() = runBlocking {
        client.sdkToken("alice")
        // An app whose session() does not know of the renewal yet.
        sessions.current = ended
        client.sdkToken("alice")
        assertEquals(listOf(ended), sessions.refused)
        val renewed = sessions.renewed.single()
        proxy.answer = { request -> page("401 Unauthorized", "").takeIf { renewed in proxy.requests[request - 1] } }
        sessions.current = ended
        client.sdkToken("alice")
        assertEquals(listOf(ended, renewed), sessions.refused)
    }

    @Test
    fun `session-unsendable - nothing is sent, and the error does not contain it`() {
        sessions.current = "secret\nsession"
        val error = failure(client)
        assertEquals(Kind.SESSION_NEEDED to "session_invalid", error.kind to error.code)
        assertFalse("secret" in error.stackTraceToString())
        assertEquals(0, proxy.requests.size)
    }

    @Test
    fun `a renewal of another session waits for the end of the first`() = runBlocking {
        sessions.mayEnd = CompletableDeferred()
        val first = launch(Dispatchers.Default) { runCatching { client.sdkToken("alice") } }
        eventually { sessions.refused.size == 1 }
        val other = broker.session(account, (-60).seconds)
        sessions.current = other
        val second = launch(Dispatchers.Default) { client.sdkToken("bob") }
        eventually { proxy.answers.size == 2 }
        delay(300.milliseconds)
        assertEquals(1, sessions.refused.size)
        sessions.mayEnd.complete(Unit)
        second.join()
        first.join()
        assertEquals(listOf(ended, other), sessions.refused)
    }
}
