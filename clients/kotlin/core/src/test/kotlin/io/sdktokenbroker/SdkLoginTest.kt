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
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
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
    private val login = SdkLogin(broker.client(alice, storage), sdk, listener, scope, expirySettles = 100.milliseconds)

    @AfterEach
    fun close() = scope.cancel()

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
