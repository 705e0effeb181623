package io.sdktokenbroker

import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Logins and account events with an SDK that is slow, and with an app whose storage fails. */
class SdkLoginTest {
    private val broker = LocalBroker.shared
    private val alice = TestSessions(broker)
    private val bob = TestSessions(broker)
    @Volatile private var own = alice
    private val sessions = object : SessionSource {
        override suspend fun session() = own.session()
        override suspend fun renewedSession() = own.renewedSession()
    }

    private val values = InMemoryTokenStorage()
    @Volatile private var isStorageBroken = false
    private val storage = object : TokenStorage {
        private fun working() = values.also { check(!isStorageBroken) { "The storage is broken" } }
        override fun get(key: String) = working().get(key)
        override fun put(key: String, value: String) = working().put(key, value)
        override fun remove(key: String) = working().remove(key)
    }

    private val uncaught = CopyOnWriteArrayList<Throwable>()
    private val scope = CoroutineScope(Dispatchers.Default + CoroutineExceptionHandler { _, error -> uncaught += error })
    private val heard = CopyOnWriteArrayList<String>()
    private val listener = object : AccountListener {
        override fun onKickedOut() { heard += "kicked out" }
        override fun onLoginFailed(error: Exception) { heard += "login failed: ${error.message}" }
    }

    /** Asks for a token in each login, but not before [mayAsk]. */
    private inner class SlowSdk : VendorSdk {
        @Volatile var mayAsk = CompletableDeferred(Unit)
        @Volatile var isIn = false
        val calls = CopyOnWriteArrayList<String>()
        val tokens = ConcurrentHashMap<String, SdkToken>()

        override suspend fun login(hostUserId: String) {
            calls += hostUserId
            mayAsk.await()
            tokens[hostUserId] = try { login.token() } catch (error: BrokerError) { throw SdkFailure(error) }
            isIn = true
        }

        override suspend fun logout() { isIn = false }
        override fun isLoggedIn() = isIn
    }

    private val sdk = SlowSdk()
    private val login = SdkLogin(broker.client(sessions, storage), sdk, listener, scope, expirySettles = 100.milliseconds)

    @AfterEach
    fun close() = scope.cancel()

    private fun CoroutineScope.logIn(user: String) = async(Dispatchers.Default) { runCatching { login.login(user) } }

    private fun code(result: Result<Unit>) = (result.exceptionOrNull() as? BrokerError)?.code

    @Test
    fun `a login that a logout or another login has ended gets no token, and the next login gets its own`() = runBlocking {
        for (hasLogout in listOf(true, false)) {
            own = alice
            sdk.mayAsk = CompletableDeferred()
            sdk.calls.clear()
            val first = logIn("alice")
            eventually { sdk.calls.size == 1 }
            if (hasLogout) login.logout()
            own = bob
            val second = logIn("bob")
            delay(300.milliseconds)
            sdk.mayAsk.complete(Unit)
            assertEquals(listOf(BrokerError.LOGGED_OUT, null), listOf(first, second).awaitAll().map(::code))
            assertEquals(setOf("bob"), sdk.tokens.keys)
            assertEquals(broker.client(bob).sdkToken().accessId, sdk.tokens["bob"]?.accessId)
        }
    }

    @Test
    fun `two logins of one account at the same time both succeed`() = runBlocking {
        sdk.mayAsk = CompletableDeferred()
        val logins = List(2) { logIn("alice") }
        eventually { sdk.calls.isNotEmpty() }
        delay(300.milliseconds)
        sdk.mayAsk.complete(Unit)
        logins.awaitAll().forEach { it.getOrThrow() }
        assertEquals(1, broker.vendorLogins(alice.account))
    }

    @Test
    fun `a logout whose caller is cancelled continues, in the SDK and at the broker`() = runBlocking {
        login.login("alice")
        val caller = launch(start = CoroutineStart.UNDISPATCHED) { login.logout() }
        caller.cancelAndJoin()
        eventually { !sdk.isIn && broker.terminals(alice.account) == 0 }
    }

    @Test
    fun `an account event does its work although the app's storage throws, and does not end the app's scope`() =
        runBlocking {
            login.login("alice")
            isStorageBroken = true
            login.onKickedOut()
            eventually { heard.isNotEmpty() || uncaught.isNotEmpty() }
            assertEquals(listOf("kicked out"), heard)
            assertFalse(sdk.isIn)

            isStorageBroken = false
            login.login("alice")
            isStorageBroken = true
            sdk.isIn = false
            login.onTokenExpired()
            eventually { heard.size == 2 || uncaught.isNotEmpty() }
            assertEquals(listOf("kicked out", "login failed: The storage is broken"), heard)
            assertEquals(emptyList<Throwable>(), uncaught)
            assertTrue(scope.isActive)
        }
}
