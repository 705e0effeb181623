package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import io.sdktokenbroker.support.page
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
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
    private val client = broker.client(sessions, storage, proxy.port, attemptTimeout = 2.seconds)

    @AfterEach
    fun closeProxy() = proxy.close()

    private fun methods() = proxy.requests.map { it.substringBefore(' ') }

    @Test
    fun `logout - the token is forgotten in the storage and at the broker`() = runBlocking {
        val first = client.sdkToken("alice")
        assertTrue(client.logout())
        assertEquals(0, broker.terminals(sessions.account))
        assertNull(storage.get("sdk-token"))
        assertNotEquals(first.accessToken, client.sdkToken("alice").accessToken)
    }

    @Test
    fun `logout - after a restart of the app, the session of the source is used`() = runBlocking {
        client.sdkToken("alice")
        assertTrue(broker.client(sessions, storage).logout())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `logout-unconfirmed - it is tried once, and nothing is stored for later`() = runBlocking {
        val troubles = listOf<() -> Unit>(
            { proxy.disconnect() },
            { proxy.answer = { page("401 Unauthorized", """{"code":"session_expired"}""", type = "application/json") } },
            { proxy.answer = { page("503 Service Unavailable", "", "Retry-After: 1") } },
            // As of the login page of a public Wi-Fi.
            { proxy.answer = { page("200 OK", "{}", type = "application/json") } },
            { proxy.silent = true },
        )
        for (trouble in troubles) {
            proxy.answer = { null }
            client.sdkToken("alice")
            val before = proxy.requests.size
            trouble()
            assertFalse(client.logout())
            assertTrue(proxy.requests.size <= before + 1)
            assertNull(storage.get("sdk-token"))
            if (proxy.requests.size == before) proxy.reconnect()
        }
        assertEquals(0, sessions.renewals)
    }

    @Test
    fun `logout-unconfirmed - without a session the token is forgotten, and the source is not waited for`() = runBlocking {
        client.sdkToken("alice")
        for (source in listOf<suspend () -> String>({ throw NoSession() }, { Thread.sleep(10_000).let { "" } })) {
            val silent = object : SessionSource {
                override suspend fun session() = source()
                override suspend fun renewedSession(refused: String) = source()
            }
            assertFalse(broker.client(silent, storage, attemptTimeout = 1.seconds).logout())
            assertNull(storage.get("sdk-token"))
        }
    }

    @Test
    fun `logout-during-request - the request ends, and its answer does not come back into the storage`() = runBlocking {
        val released = CountDownLatch(1)
        proxy.beforeAnswering = { answer -> if (answer == 1) released.await(60, TimeUnit.SECONDS) }
        val request = async(Dispatchers.Default) { runCatching { client.sdkToken("alice") } }
        eventually { proxy.answers.size == 1 }
        client.logout()
        val error = request.await().exceptionOrNull() as BrokerError
        assertEquals(Kind.LOGGED_OUT to BrokerError.LOGGED_OUT, error.kind to error.code)
        released.countDown()
        delay(0.3.seconds)
        assertNull(storage.get("sdk-token"))
    }

    @Test
    fun `logout-during-request - also if the answer comes while the logout waits for the storage`() = runBlocking {
        val mayRead = CountDownLatch(1)
        val isReading = CountDownLatch(1)
        val slow = object : TokenStorage by storage {
            @Volatile var isSlow = false
            override fun get(key: String): String? {
                if (isSlow) isReading.countDown().also { mayRead.await(60, TimeUnit.SECONDS) }
                return storage.get(key)
            }
        }
        val client = broker.client(sessions, slow, proxy.port)
        val mayAnswer = CountDownLatch(1)
        proxy.beforeAnswering = { answer -> if (answer == 1) mayAnswer.await(60, TimeUnit.SECONDS) }
        val request = async(Dispatchers.Default) { runCatching { client.sdkToken("alice") } }
        eventually { proxy.answers.size == 1 }
        slow.isSlow = true
        val refusal = launch(Dispatchers.Default) { client.tokenWasRefused() }
        eventually { isReading.count == 0L }
        val logout = async(start = CoroutineStart.UNDISPATCHED) { client.logout() }
        mayAnswer.countDown()
        // The answer's step in the storage is now behind the logout's.
        delay(0.5.seconds)
        mayRead.countDown()
        refusal.join()
        logout.await()
        assertEquals(BrokerError.LOGGED_OUT, (request.await().exceptionOrNull() as BrokerError).code)
        delay(0.3.seconds)
        assertNull(storage.get("sdk-token"))
    }

    @Test
    fun `login-after-logout - the next user's request waits for the DELETE`() = runBlocking {
        client.sdkToken("alice")
        val released = CountDownLatch(1)
        proxy.beforeForwarding = { released.await(60, TimeUnit.SECONDS) }
        val logout = async(Dispatchers.Default) { client.logout() }
        eventually { proxy.requests.size == 2 }
        val next = async(Dispatchers.Default) { client.sdkToken("alice") }
        delay(0.3.seconds)
        assertEquals(listOf("GET", "DELETE"), methods())
        released.countDown()
        assertTrue(logout.await())
        assertTrue(broker.vendorAccepts(next.await().accessToken))
        assertEquals(listOf("GET", "DELETE", "GET"), methods())
        assertEquals(1, broker.terminals(sessions.account))
    }

    @Test
    fun `login-after-logout - it waits for the timeout of an attempt at most`() = runBlocking {
        client.sdkToken("alice")
        proxy.silent = true
        val logout = async(Dispatchers.Default) { client.logout() }
        eventually { proxy.requests.size == 2 }
        proxy.silent = false
        client.sdkToken("bob")
        assertFalse(logout.await())
    }

    @Test
    fun `a logout whose caller is cancelled continues`() = runBlocking {
        client.sdkToken("alice")
        val released = CountDownLatch(1)
        proxy.beforeForwarding = { released.await(60, TimeUnit.SECONDS) }
        val caller = launch(Dispatchers.Default) { client.logout() }
        eventually { proxy.requests.size == 2 }
        caller.cancelAndJoin()
        released.countDown()
        eventually { broker.terminals(sessions.account) == 0 }
    }

    @Test
    fun `a logout is sent to the broker although the storage throws, and then thrown`() {
        val broken = object : TokenStorage by storage {
            override fun remove(key: String) = throw IllegalStateException("the storage is full")
        }
        val client = broker.client(sessions, broken)
        runBlocking { client.sdkToken("alice") }
        val error = assertThrows<IllegalStateException> { runBlocking { client.logout() } }
        assertEquals("the storage is full", error.message)
        assertEquals(0, broker.terminals(sessions.account))
    }
}
