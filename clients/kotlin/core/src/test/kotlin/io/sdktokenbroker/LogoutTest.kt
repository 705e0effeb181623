package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import io.sdktokenbroker.support.page
import java.io.IOException
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.coroutines.suspendCoroutine
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.supervisorScope
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

class LogoutTest {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)
    private val storage = InMemoryTokenStorage()
    private val proxy = TestProxy(broker.port)
    private val client = broker.client(sessions, storage, proxy.port)

    @AfterEach
    fun closeProxy() = proxy.close()

    private fun methods() = proxy.requests.map { it.substringBefore(' ') }

    @Test
    fun `logout forgets the token at the broker and in the storage`() = runBlocking {
        val first = client.sdkToken()
        assertTrue(client.logout())
        assertEquals(0, broker.terminals(sessions.account))
        assertNull(storage.get("sdk-token"))
        assertNotEquals(first.accessToken, client.sdkToken().accessToken)
    }

    @Test
    fun `a logout without a network is finished at the next start, although another user is logged in by then`() =
        runBlocking {
            client.sdkToken()
            proxy.disconnect()
            assertFalse(client.logout())
            assertFalse(client.finishLogout())
            assertEquals(1, broker.terminals(sessions.account))

            proxy.reconnect()
            val next = TestSessions(broker)
            val restarted = broker.client(next, storage, proxy.port)
            assertTrue(restarted.finishLogout())
            assertEquals(0, broker.terminals(sessions.account))
            assertFalse(storage.get("sdk-token.logouts").orEmpty().contains(sessions.current))
        }

    @Test
    fun `two users who log out without a network are both logged out later`() = runBlocking {
        val other = TestSessions(broker)
        val clientOfOther = broker.client(other, storage, proxy.port)
        client.sdkToken()
        broker.client(other).sdkToken()
        proxy.disconnect()
        assertFalse(client.logout())
        assertFalse(clientOfOther.logout())
        proxy.reconnect()
        assertTrue(client.finishLogout())
        assertEquals(listOf(0, 0), listOf(sessions, other).map { broker.terminals(it.account) })
    }

    @Test
    fun `a stored logout is finished before the next token is fetched, so that it cannot delete that token`() =
        runBlocking {
            client.sdkToken()
            proxy.disconnect()
            client.logout()
            assertThrows<BrokerError> { client.sdkToken() }
            proxy.reconnect()
            client.sdkToken()
            assertEquals(listOf("GET", "DELETE", "GET"), methods())
            assertTrue(client.finishLogout())
            assertEquals(1, broker.terminals(sessions.account))
        }

    @Test
    fun `the login page of a public Wi-Fi does not count as the broker's answer`() = runBlocking {
        client.sdkToken()
        proxy.answer = { page("200 OK", "<html>Log in</html>") }
        assertFalse(client.logout())
        proxy.answer = { null }
        assertTrue(client.finishLogout())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a session that has ended is renewed once for the logout, and the renewed one is stored`() = runBlocking {
        client.sdkToken()
        sessions.current = broker.session(sessions.account, (-3_600).seconds)
        proxy.answer = { request -> if (request == 3) page("503 Service Unavailable", "Later") else null }
        assertFalse(client.logout())
        assertEquals(1, sessions.renewals)
        assertTrue(broker.client(TestSessions(broker), storage).finishLogout())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `the session is renewed also if a repeated logout was refused with it`() = runBlocking {
        broker.client(sessions, InMemoryTokenStorage()).sdkToken()
        proxy.disconnect()
        assertFalse(client.logout())
        proxy.reconnect()
        val requests = proxy.requests.size
        val refusal = page("401 Unauthorized", """{"code":"session_expired"}""", type = "application/json")
        proxy.answer = { if (proxy.requests.size == requests + 1) refusal.also { Thread.sleep(500) } else null }
        val restarted = broker.client(sessions, storage, proxy.port)
        val finished = async(Dispatchers.Default) { restarted.finishLogout() }
        eventually { proxy.requests.size == requests + 1 }
        assertTrue(restarted.logout())
        assertTrue(finished.await())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a logout whose session has ended for good is an error, and is not repeated`() = runBlocking {
        client.sdkToken()
        sessions.current = broker.session(sessions.account, (-3_600).seconds)
        sessions.next = { sessions.current }
        assertEquals(Kind.SESSION_NEEDED, assertThrows<BrokerError> { client.logout() }.kind)
        val requests = proxy.requests.size
        assertTrue(client.finishLogout())
        assertEquals(requests, proxy.requests.size)
    }

    @Test
    fun `a stored logout whose session has ended since does not stop the next user`() = runBlocking {
        proxy.disconnect()
        sessions.current = broker.session(sessions.account, (-3_600).seconds)
        assertFalse(client.logout())
        proxy.reconnect()
        val next = TestSessions(broker)
        assertTrue(broker.vendorAccepts(broker.client(next, storage, proxy.port).sdkToken().accessToken))
        assertEquals(0, next.renewals)
        assertTrue(client.finishLogout())
    }

    @Test
    fun `a stored logout that something else than the broker refuses is dropped, and does not stop the next user`() =
        runBlocking {
            val unauthorized = page("401 Unauthorized", """{"message":"no"}""", type = "application/json")
            for (refusal in listOf(page("405 Method Not Allowed", "<h1>Blocked</h1>"), unauthorized)) {
                client.sdkToken()
                proxy.disconnect()
                assertFalse(client.logout())
                proxy.reconnect()
                proxy.answer = { if (proxy.requests.last().startsWith("DELETE")) refusal else null }
                val next = broker.client(TestSessions(broker), storage, proxy.port)
                assertTrue(broker.vendorAccepts(next.sdkToken().accessToken))
                assertTrue(next.finishLogout())
                proxy.answer = { null }
            }
        }

    @Test
    fun `a stored logout is kept while something else than the broker answers that it is busy`() = runBlocking {
        client.sdkToken()
        for (status in listOf("429 Too Many Requests", "502 Bad Gateway")) {
            proxy.answer = { page(status, "Later") }
            assertFalse(client.logout())
        }
        proxy.answer = { null }
        assertTrue(client.finishLogout())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a token is waited for if the broker is busy with the stored logout`() = runBlocking {
        client.sdkToken()
        proxy.disconnect()
        client.logout()
        proxy.reconnect()
        val problem = """{"code":"shutting_down","retryable":true}"""
        val busy = page("503 Service Unavailable", problem, "Retry-After: 1", type = "application/problem+json")
        proxy.answer = { request -> if (request == 2) busy else null }
        client.sdkToken()
        assertEquals(listOf("GET", "DELETE", "DELETE", "GET"), methods())
    }

    @Test
    fun `a session source that never answers does not hold up a logout`() = runBlocking {
        client.sdkToken()
        val silent = object : SessionSource {
            override suspend fun session(): String = awaitCancellation()
            override suspend fun renewedSession() = session()
        }
        val client = broker.client(silent, storage, totalDeadline = 1.seconds)
        val error = assertThrows<BrokerError> { withTimeout(20.seconds) { client.logout() } }
        assertEquals(BrokerError.NETWORK_TIMEOUT, error.code)
        assertNull(storage.get("sdk-token"))
    }

    @Test
    fun `a session source that ignores its cancellation holds up neither a logout nor a token`() = runBlocking {
        val silent = object : SessionSource {
            override suspend fun session(): String = suspendCoroutine { }
            override suspend fun renewedSession() = session()
        }
        val client = broker.client(silent, storage, totalDeadline = 1.seconds)
        for (call in listOf<suspend () -> Any>(client::logout, client::sdkToken)) {
            // Not a child of this test, which would wait for it.
            val running = CoroutineScope(Dispatchers.Default).async { call() }
            val error = assertThrows<BrokerError> { withTimeout(20.seconds) { running.await() } }
            assertEquals(BrokerError.NETWORK_TIMEOUT, error.code)
        }
    }

    @Test
    fun `a logout whose caller is cancelled is stored, and finished later`() = runBlocking {
        client.sdkToken()
        proxy.disconnect()
        val restarted = broker.client(sessions, storage, proxy.port)
        val caller = launch(Dispatchers.Default) {
            cancel()
            restarted.logout()
        }
        caller.join()
        eventually { storage.get("sdk-token") == null && sessions.current in storage.get("sdk-token.logouts").orEmpty() }
        proxy.reconnect()
        assertTrue(restarted.finishLogout())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a logout that the broker cannot answer now is tried once, and stored`() = runBlocking {
        client.sdkToken()
        val problem = """{"code":"store_unavailable","retryable":true,"requestId":"r-1"}"""
        proxy.answer = { page("503 Service Unavailable", problem, "Retry-After: 1", type = "application/problem+json") }
        assertFalse(client.logout())
        assertEquals(listOf("GET", "DELETE"), methods())
        proxy.answer = { null }
        assertTrue(client.finishLogout())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a token handed in after a logout without a network is safe from that logout`() = runBlocking {
        client.sdkToken()
        proxy.disconnect()
        assertFalse(client.logout())
        proxy.reconnect()
        // The same user logs in again. The cloud's response contains the token.
        val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
        client.useToken("alice", handedIn.body, handedIn.etag)
        val token = client.sdkToken()
        val restarted = broker.client(sessions, storage, proxy.port)
        assertTrue(restarted.finishLogout())
        assertEquals(token, restarted.sdkToken())
        assertEquals(listOf("GET", "GET"), methods())
        assertEquals(1, broker.terminals(sessions.account))
    }

    @Test
    fun `a token handed in by another user does not end the stored logout of the first`() = runBlocking {
        client.sdkToken()
        proxy.disconnect()
        assertFalse(client.logout())
        proxy.reconnect()
        val next = TestSessions(broker)
        val restarted = broker.client(next, storage, proxy.port)
        val handedIn = broker.internal("/accounts/${next.account}/terminals/$PHONE/sdk-token")
        restarted.useToken("bob", handedIn.body, handedIn.etag)
        restarted.sdkToken()
        assertTrue(restarted.finishLogout())
        assertEquals(listOf(0, 1), listOf(sessions, next).map { broker.terminals(it.account) })
    }

    @Test
    fun `if the app cannot get a session without a network, the last one is stored with the logout`() = runBlocking {
        val online = AtomicBoolean(true)
        val fromNetwork = object : SessionSource {
            override suspend fun session() = if (online.get()) sessions.session() else throw IOException("no network")
            override suspend fun renewedSession() = session()
        }
        val client = broker.client(fromNetwork, storage, proxy.port)
        client.sdkToken()
        proxy.disconnect()
        online.set(false)
        assertFalse(client.logout())
        assertNull(storage.get("sdk-token"))
        proxy.reconnect()
        assertTrue(broker.client(TestSessions(broker), storage, proxy.port).finishLogout())
        assertEquals(0, broker.terminals(sessions.account))
        // The logout has used it up: the next user must not log out with it.
        assertEquals(Kind.NETWORK, assertThrows<BrokerError> { client.logout() }.kind)
    }

    @Test
    fun `if the app has had no session since its start, the token is forgotten and the error says why`() = runBlocking {
        client.sdkToken()
        val none = object : SessionSource {
            override suspend fun session() = throw IllegalStateException("there is no session")
            override suspend fun renewedSession() = session()
        }
        val error = assertThrows<BrokerError> { broker.client(none, storage).logout() }
        assertEquals(listOf(Kind.SESSION_NEEDED, "session_unavailable"), listOf(error.kind, error.code))
        assertNull(storage.get("sdk-token"))
        assertEquals(1, broker.terminals(sessions.account))
    }

    @Test
    fun `a logout ends a request for a token, and its answer does not come back into the storage`() = runBlocking {
        proxy.silent = true
        supervisorScope {
            val fetching = async(Dispatchers.Default) { client.sdkToken() }
            eventually { proxy.requests.isNotEmpty() }
            proxy.silent = false
            assertTrue(client.logout())
            assertEquals(BrokerError.LOGGED_OUT, assertThrows<BrokerError> { fetching.await() }.code)
        }
        assertNull(storage.get("sdk-token"))
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a token that is asked for during a logout is fetched after it`() = runBlocking {
        client.sdkToken()
        proxy.beforeForwarding = { Thread.sleep(500) }
        val logout = async(Dispatchers.Default) { client.logout() }
        eventually { proxy.requests.size == 2 }
        client.sdkToken()
        assertTrue(logout.await())
        assertEquals(listOf("GET", "DELETE", "GET"), methods())
        assertEquals(1, broker.terminals(sessions.account))
    }

    @Test
    fun `a logout is sent to the broker also if the storage throws what is no Exception`() = runBlocking {
        var isReady = true
        val failing = object : TokenStorage by storage {
            override fun put(key: String, value: String) = if (isReady) storage.put(key, value) else TODO()
        }
        val client = broker.client(sessions, failing, proxy.port)
        client.sdkToken()
        isReady = false
        assertTrue(client.logout())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a logout that the storage takes, but does not read again, is sent to the broker`() = runBlocking {
        var isReadable = true
        val failing = object : TokenStorage by storage {
            override fun get(key: String) = storage.get(key).also { check(isReadable) }
            override fun put(key: String, value: String) =
                storage.put(key, value).also { if (key == "sdk-token.logouts") isReadable = false }
        }
        val client = broker.client(sessions, failing, proxy.port)
        client.sdkToken()
        assertThrows<IllegalStateException> { client.logout() }
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `a logout that the storage does not take is sent to the broker, and repeated until the process ends`() =
        runBlocking {
            var isFull = false
            var isBroken = false
            val failing = object : TokenStorage {
                private fun working() = storage.also { check(!isBroken) { "The storage is broken" } }
                override fun get(key: String) = working().get(key)
                override fun put(key: String, value: String) = check(!isFull).also { working().put(key, value) }
                override fun remove(key: String) = working().remove(key)
            }
            val client = broker.client(sessions, failing, proxy.port)
            client.switchUser("alice")
            client.sdkToken()
            isFull = true
            assertTrue(client.logout())
            assertEquals(0, broker.terminals(sessions.account))

            isFull = false
            client.sdkToken()
            isBroken = true
            assertThrows<IllegalStateException> { client.logout() }
            assertEquals(0, broker.terminals(sessions.account))

            isBroken = false
            client.sdkToken()
            isFull = true
            proxy.disconnect()
            assertThrows<IllegalStateException> { client.logout() }
            assertNull(storage.get("sdk-token"))
            assertEquals(1, broker.terminals(sessions.account))
            proxy.reconnect()
            assertTrue(client.finishLogout())
            assertEquals(0, broker.terminals(sessions.account))
        }
}
