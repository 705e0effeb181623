package io.sdktokenbroker

import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import io.sdktokenbroker.support.page
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** A logout belongs to the user who was there when it was called, however slow the app's session source is. */
class LogoutOwnerTest {
    private val broker = LocalBroker.shared
    private val alice = TestSessions(broker)
    private val bob = TestSessions(broker)
    private val storage = InMemoryTokenStorage()
    private val proxy = TestProxy(broker.port)
    private val own = OwnLogin()
    private val client = broker.client(own, storage, proxy.port)

    /** The app's own login, of one user after the other. It can hang, and ignores a cancellation. */
    private inner class OwnLogin : SessionSource {
        @Volatile var user = alice
        @Volatile var gate = CompletableDeferred(Unit)
        @Volatile var hangsOnlyForRenewal = false
        val waiting = AtomicInteger()

        fun hang() { gate = CompletableDeferred() }

        override suspend fun session() = if (hangsOnlyForRenewal) user.session() else afterGate { it.session() }
        override suspend fun renewedSession() = afterGate { it.renewedSession() }

        private suspend fun afterGate(ask: suspend (TestSessions) -> String): String {
            val gate = gate
            waiting.incrementAndGet()
            withContext(NonCancellable) { gate.await() }
            waiting.decrementAndGet()
            return ask(user)
        }
    }

    @AfterEach
    fun close() {
        own.gate.complete(Unit)
        proxy.close()
    }

    /** Not a child of the test, which would wait for it. */
    private fun hangingLogout(client: SdkTokenClient): Deferred<Boolean> {
        own.hang()
        val logout = CoroutineScope(Dispatchers.Default).async { client.logout() }
        runBlocking { eventually { own.waiting.get() == 1 } }
        return logout
    }

    private fun <T> await(call: Deferred<T>): T = runBlocking { withTimeout(20.seconds) { call.await() } }

    private fun terminals() = listOf(alice, bob).map { broker.terminals(it.account) }

    private fun stored() = storage.get("sdk-token.logouts").orEmpty()

    /** DELETE does as [delete] says for its session, and other requests reach the broker. */
    private inner class DeleteTransport(@Volatile var delete: (String?) -> Int?) : Transport {
        val deletes = CopyOnWriteArrayList<String?>()

        override fun send(request: TransportRequest): TransportAnswer {
            if (request.method == "DELETE") {
                val session = request.headers["Authorization"]
                deletes += session
                delete(session)?.let { status -> return TransportAnswer(status, null) { null } }
            }
            return UrlConnectionTransport().send(request)
        }

        fun client(totalDeadline: Duration = 30.seconds) =
            SdkTokenClient("http://127.0.0.1:${proxy.port}", PHONE, own, storage, null, null, totalDeadline, transport = this)
    }

    private suspend fun storeLogoutOfAlice(client: SdkTokenClient) {
        own.user = alice
        client.switchUser("alice")
        client.sdkToken()
        assertFalse(client.logout())
        own.user = bob
        client.switchUser("bob")
    }

    private fun methods() = proxy.requests.map { it.substringBefore(' ') }

    private suspend fun logInAlice() {
        client.switchUser("alice")
        client.sdkToken()
    }

    /** As after a start of the app: there is a token, and no session has been used yet. */
    private suspend fun restartedClient(): SdkTokenClient {
        logInAlice()
        return broker.client(own, storage, proxy.port)
    }

    @Test
    fun `the token is forgotten and the logout is stored before the session source answers`() = runBlocking {
        logInAlice()
        val logout = hangingLogout(client)
        assertNull(storage.get("sdk-token"))
        assertTrue(alice.current in stored())
        own.gate.complete(Unit)
        assertTrue(await(logout))
        assertFalse(alice.current in stored())
        assertEquals(0, broker.terminals(alice.account))
    }

    @Test
    fun `a logout of A that waits for its session logs A out, and not B who signs in meanwhile`() = runBlocking {
        logInAlice()
        val logout = hangingLogout(client)
        own.user = bob
        client.switchUser("bob")
        // Does not wait for the source.
        assertTrue(await(logout))
        own.gate.complete(Unit)
        client.sdkToken()
        assertEquals(listOf(0, 1), terminals())
    }

    @Test
    fun `without a last session, the logout of A fails when B signs in, and B stays logged in`() = runBlocking {
        val restarted = restartedClient()
        broker.client(bob).sdkToken()
        val logout = hangingLogout(restarted)
        assertNull(storage.get("sdk-token"))
        own.user = bob
        restarted.switchUser("bob")
        assertEquals(BrokerError.LOGGED_OUT, assertThrows<BrokerError> { await(logout) }.code)
        own.gate.complete(Unit)
        restarted.sdkToken()
        assertEquals(listOf("GET", "GET"), methods())
        assertEquals(listOf(1, 1), terminals())
    }

    @Test
    fun `a session that arrives after the call of switchUser is not used, although the storage is slow`() = runBlocking {
        logInAlice()
        var released = CountDownLatch(1)
        val slow = object : TokenStorage by storage {
            @Volatile var isSlow = false
            override fun get(key: String): String? {
                if (isSlow) released.await(60, TimeUnit.SECONDS)
                return storage.get(key)
            }
        }
        for (renewal in listOf(false, true)) {
            storage.put("sdk-token.user", "alice")
            slow.isSlow = false
            released = CountDownLatch(1)
            val client = broker.client(own, slow, proxy.port)
            broker.client(bob).sdkToken()
            own.user = alice
            own.hangsOnlyForRenewal = renewal
            if (renewal) alice.current = broker.session(alice.account, (-3_600).seconds)
            val logout = hangingLogout(client)
            slow.isSlow = true
            val switch = async(start = CoroutineStart.UNDISPATCHED) { client.switchUser("bob") }
            own.user = bob
            own.gate.complete(Unit)
            eventually { own.waiting.get() == 0 }
            delay(100.milliseconds)
            released.countDown()
            switch.await()
            assertEquals(BrokerError.LOGGED_OUT, assertThrows<BrokerError> { await(logout) }.code)
            assertEquals(listOf(1, 1), terminals())
        }
    }

    @Test
    fun `a renewed session that arrives after B has signed in is not used for the logout of A`() = runBlocking {
        logInAlice()
        alice.current = broker.session(alice.account, (-3_600).seconds)
        own.hangsOnlyForRenewal = true
        val restarted = broker.client(own, storage, proxy.port)
        val logout = hangingLogout(restarted)
        broker.client(bob).sdkToken()
        own.user = bob
        restarted.switchUser("bob")
        own.gate.complete(Unit)
        assertEquals(BrokerError.LOGGED_OUT, assertThrows<BrokerError> { await(logout) }.code)
        assertEquals("{}", stored())
        assertEquals(listOf(1, 1), terminals())
    }

    @Test
    fun `a logout uses the present session of the same user, and not an older one`() = runBlocking {
        val old = broker.session(alice.account, 2.seconds)
        val present = alice.current
        alice.current = old
        logInAlice()
        alice.current = present
        assertTrue(client.logout())
        assertTrue("Bearer $present" in proxy.requests.last())
        assertEquals(0, broker.terminals(alice.account))
    }

    @Test
    fun `a token of B's own login response does not drop the logout of A, who had no stored token`() = runBlocking {
        broker.client(alice).sdkToken()
        client.switchUser("alice")
        proxy.disconnect()
        assertFalse(client.logout())
        proxy.reconnect()
        val handedIn = broker.internal("/accounts/${bob.account}/terminals/$PHONE/sdk-token")
        client.useToken("bob", handedIn.body, handedIn.etag)
        assertTrue(client.finishLogout())
        assertEquals(listOf(0, 1), terminals())
    }

    @Test
    fun `a token of B's own login response does not make a refused logout of A look like a success`() = runBlocking {
        val handedIn = broker.internal("/accounts/${bob.account}/terminals/$PHONE/sdk-token")
        logInAlice()
        val logout = hangingLogout(client)
        proxy.answer = { page("401 Unauthorized", """{"code":"session_expired"}""", type = "application/json") }
        assertTrue(client.finishLogout())
        client.useToken("bob", handedIn.body, handedIn.etag)
        assertThrows<BrokerError> { await(logout) }
        assertEquals(1, broker.terminals(alice.account))
    }

    @Test
    fun `a token of A's own login response drops the logout of A that waits for a session`() = runBlocking {
        val restarted = restartedClient()
        val handedIn = broker.internal("/accounts/${alice.account}/terminals/$PHONE/sdk-token")
        val logout = hangingLogout(restarted)
        restarted.useToken("alice", handedIn.body, handedIn.etag)
        own.gate.complete(Unit)
        assertTrue(await(logout))
        assertEquals(listOf("GET"), methods())
        assertEquals(1, broker.terminals(alice.account))
    }

    @Test
    fun `a token that the same user asks for while a logout waits for a session is fetched after the logout`() =
        runBlocking {
            val restarted = restartedClient()
            val logout = hangingLogout(restarted)
            val gateOfLogout = own.gate
            own.gate = CompletableDeferred(Unit)
            val token = CoroutineScope(Dispatchers.Default).async { restarted.sdkToken() }
            delay(300.milliseconds)
            assertEquals(listOf("GET"), methods())
            gateOfLogout.complete(Unit)
            assertTrue(broker.vendorAccepts(await(token).accessToken))
            assertTrue(await(logout))
            assertEquals(listOf("GET", "DELETE", "GET"), methods())
        }

    @Test
    fun `a logout whose caller is cancelled while it waits for a session continues`() = runBlocking {
        val restarted = restartedClient()
        val logout = hangingLogout(restarted)
        logout.cancelAndJoin()
        own.gate.complete(Unit)
        eventually { broker.terminals(alice.account) == 0 }
    }

    @Test
    fun `a stored logout of A that fails or gets no answer does not hold up the token of B, and is tried again`() =
        runBlocking {
            for (getsAnswer in listOf(true, false)) {
                val transport = DeleteTransport { 429 }
                val client = transport.client()
                storeLogoutOfAlice(client)
                val released = CountDownLatch(if (getsAnswer) 0 else 1)
                transport.delete = { released.await(60, TimeUnit.SECONDS).let { 503 } }
                val duration = measureTime { assertTrue(broker.vendorAccepts(client.sdkToken().accessToken)) }
                assertTrue(duration < 5.seconds, "$duration")
                eventually { transport.deletes.toList() == List(2) { "Bearer ${alice.current}" } }
                assertTrue(alice.current in stored())
                released.countDown()
                transport.delete = { null }
                // The try that has just got its answer may not be over when the token is asked for.
                eventually { runBlocking { client.sdkToken() }.let { stored() == "{}" } }
                assertEquals(listOf(0, 1), terminals())
            }
        }

    @Test
    fun `a stored logout of A that B's read has sent is over before the next token of A is fetched`() = runBlocking {
        val transport = DeleteTransport { 503 }
        val client = transport.client()
        storeLogoutOfAlice(client)
        val released = CountDownLatch(1)
        transport.delete = { released.await(60, TimeUnit.SECONDS).let { null } }
        client.sdkToken()
        eventually { transport.deletes.size == 2 }
        own.user = alice
        client.switchUser("alice")
        val token = async(Dispatchers.Default) { client.sdkToken() }
        delay(300.milliseconds)
        assertEquals(listOf("GET", "GET"), methods())
        released.countDown()
        assertTrue(broker.vendorAccepts(token.await().accessToken))
        assertEquals(listOf("GET", "GET", "DELETE", "GET"), methods())
        assertEquals(1, broker.terminals(alice.account))
    }

    @Test
    fun `a logout of A that is under way does not hold up the token of B`() = runBlocking {
        val transport = DeleteTransport { 503 }
        val client = transport.client()
        client.switchUser("alice")
        client.sdkToken()
        val released = CountDownLatch(1)
        transport.delete = { released.await(60, TimeUnit.SECONDS).let { null } }
        val logout = async(Dispatchers.Default) { client.logout() }
        eventually { transport.deletes.size == 1 }
        own.user = bob
        client.switchUser("bob")
        val duration = measureTime { client.sdkToken() }
        assertTrue(duration < 5.seconds, "$duration")
        released.countDown()
        assertTrue(logout.await())
        assertEquals(listOf(0, 1), terminals())
    }

    @Test
    fun `each stored logout is tried, although another one fails`() = runBlocking {
        for (failing in listOf(alice, bob)) {
            val transport = DeleteTransport { 503 }
            val client = transport.client()
            storeLogoutOfAlice(client)
            client.sdkToken()
            assertFalse(client.logout())
            transport.delete = { session -> 503.takeIf { session == "Bearer ${failing.current}" } }
            assertFalse(client.finishLogout())
            assertEquals(listOf(alice, bob).map { if (it == failing) 1 else 0 }, terminals())
            transport.delete = { null }
            assertTrue(client.finishLogout())
        }
    }

    @Test
    fun `each stored logout is tried, although the broker does not answer another one`() = runBlocking {
        for (hanging in listOf(alice, bob)) {
            val transport = DeleteTransport { 503 }
            val client = transport.client(totalDeadline = 3.seconds)
            storeLogoutOfAlice(client)
            client.sdkToken()
            assertFalse(client.logout())
            val released = CountDownLatch(1)
            transport.delete = { session ->
                if (session == "Bearer ${hanging.current}") released.await(60, TimeUnit.SECONDS).let { 503 } else null
            }
            val duration = measureTime { assertFalse(client.finishLogout()) }
            assertTrue(duration < 5.seconds, "$duration")
            assertEquals(listOf(alice, bob).map { if (it == hanging) 1 else 0 }, terminals())
            released.countDown()
            transport.delete = { null }
            assertTrue(client.finishLogout())
        }
    }

    @Test
    fun `while the broker does not answer a stored logout of A, the tokens of B send it no second time`() = runBlocking {
        val transport = DeleteTransport { 503 }
        val client = transport.client()
        storeLogoutOfAlice(client)
        val released = CountDownLatch(1)
        transport.delete = { released.await(60, TimeUnit.SECONDS).let { 503 } }
        repeat(3) { client.sdkToken() }
        eventually { transport.deletes.size == 2 }
        released.countDown()
        delay(500.milliseconds)
        assertEquals(2, transport.deletes.size)
    }
}
