package io.sdktokenbroker

import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import java.io.IOException
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CopyOnWriteArraySet
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.coroutines.CoroutineContext
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull
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
    @Volatile private var isAsked = false
    @Volatile private var mayAnswer = CompletableDeferred(Unit)
    private val sessions = object : SessionSource {
        override suspend fun session(): String {
            isAsked = true
            mayAnswer.await()
            return own.session()
        }
        override suspend fun renewedSession(refused: String) = own.renewedSession(refused)
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
    private inner class SlowSdk(private val login: () -> SdkLogin) : VendorSdk {
        @Volatile var mayAsk = CompletableDeferred(Unit)
        @Volatile var isIn = false
        val calls = CopyOnWriteArrayList<String>()
        val tokens = ConcurrentHashMap<String, SdkToken>()

        override suspend fun login(hostUserId: String) {
            calls += hostUserId
            mayAsk.await()
            tokens[hostUserId] = try { login().token() } catch (error: BrokerError) { throw SdkFailure(error) }
            isIn = true
        }

        override suspend fun logout() { isIn = false }
        override fun isLoggedIn() = isIn
    }

    private val sdk: SlowSdk = SlowSdk { login }
    private val login: SdkLogin = login(broker.client(sessions, storage), sdk)

    private fun login(client: TokenClient, sdk: VendorSdk, sdkTimeout: Duration = 30.seconds) =
        SdkLogin(client, sdk, listener, scope, expirySettles = 100.milliseconds, sdkTimeout)

    @AfterEach
    fun close() = scope.cancel()

    private fun CoroutineScope.logIn(user: String, login: SdkLogin = this@SdkLoginTest.login) =
        async(Dispatchers.Default) { runCatching { login.login(user) } }

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
            assertEquals(broker.client(bob).sdkToken("bob").accessId, sdk.tokens["bob"]?.accessId)
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
    fun `logins of one account at the same time have one result, and a later login has its own`() = runBlocking {
        val none = object : SessionSource {
            override suspend fun session() = throw NoSession()
            override suspend fun renewedSession(refused: String) = session()
        }
        lateinit var login: SdkLogin
        val sdk = SlowSdk { login }
        login = login(broker.client(none, storage), sdk)
        sdk.mayAsk = CompletableDeferred()
        val logins = List(5) { logIn("alice", login) }
        eventually { sdk.calls.isNotEmpty() }
        delay(300.milliseconds)
        sdk.mayAsk.complete(Unit)
        assertEquals(List(5) { BrokerError.SESSION_UNAVAILABLE }, logins.awaitAll().map(::code))
        assertEquals(1, sdk.calls.size)
        assertEquals(BrokerError.SESSION_UNAVAILABLE, code(logIn("alice", login).await()))
        assertEquals(2, sdk.calls.size)
    }

    @Test
    fun `a token that is handed in during a login is for this login, and for one that waits for it`() = runBlocking {
        val body = broker.client(alice).sdkToken("alice").toJson().toString()
        val fails = object : SessionSource {
            override suspend fun session(): String {
                isAsked = true
                mayAnswer.await()
                throw NoSession()
            }
            override suspend fun renewedSession(refused: String) = session()
        }
        lateinit var login: SdkLogin
        val sdk = SlowSdk { login }
        val client = broker.client(fails, storage)
        login = login(client, sdk)
        mayAnswer = CompletableDeferred()
        val first = logIn("alice", login)
        eventually { isAsked }
        val next = logIn("alice", login)
        delay(300.milliseconds)
        client.useToken("alice", body)
        listOf(first, next).awaitAll().forEach { it.getOrThrow() }
        assertTrue(sdk.isIn)
        assertTrue(mayAnswer.complete(Unit))
    }

    @Test
    fun `the caller of a login that is cancelled does not cancel that of another`() = runBlocking {
        sdk.mayAsk = CompletableDeferred()
        val first = logIn("alice")
        eventually { sdk.calls.isNotEmpty() }
        val second = logIn("alice")
        delay(300.milliseconds)
        first.cancelAndJoin()
        sdk.mayAsk.complete(Unit)
        second.await().getOrThrow()
        assertTrue(sdk.isIn)
    }

    @Test
    fun `a login that the SDK does not answer holds up later ones for one timeout only, and ends with logged_out`() =
        runBlocking {
            lateinit var login: SdkLogin
            val sdk = SlowSdk { login }
            login = login(broker.client(sessions, storage), sdk, sdkTimeout = 3.seconds)
            sdk.mayAsk = CompletableDeferred()
            val unanswered = sdk.mayAsk
            val first = logIn("alice", login)
            eventually { sdk.calls.size == 1 }
            sdk.mayAsk = CompletableDeferred(Unit)
            login.logout()
            val start = TimeSource.Monotonic.markNow()
            val second = logIn("alice", login)
            delay(1.seconds)
            login.logout()
            own = bob
            val later = List(2) { logIn("bob", login) }
            try {
                withTimeout(10.seconds) { later.awaitAll().forEach { it.getOrThrow() } }
            } finally {
                unanswered.complete(Unit)
            }
            val duration = start.elapsedNow()
            assertTrue(duration > 2.seconds, "$duration")
            assertEquals(listOf("alice", "bob"), sdk.calls)
            assertEquals(broker.client(bob).sdkToken("bob").accessId, sdk.tokens["bob"]?.accessId)
            assertEquals(BrokerError.LOGGED_OUT, code(second.await()))
            assertEquals(BrokerError.LOGGED_OUT, code(first.await()))
        }

    @Test
    fun `a login that the SDK ends too late changes nothing for the one after it, also of the same account`() = runBlocking {
        for (doesSucceed in listOf(false, true)) {
            val isLate = CompletableDeferred<Unit>()
            val tokens = CopyOnWriteArrayList<SdkToken>()
            lateinit var login: SdkLogin
            val sdk = object : VendorSdk by sdk {
                override suspend fun login(hostUserId: String) {
                    tokens += login.token()
                    if (tokens.size > 1) return
                    isLate.await()
                    if (!doesSucceed) throw SdkFailure(IOException("The SDK has had no answer"))
                }
            }
            val client = broker.client(sessions, storage)
            login = login(client, sdk, sdkTimeout = 3.seconds)
            val first = logIn("alice", login)
            eventually { tokens.isNotEmpty() }
            logIn("alice", login).await().getOrThrow()
            isLate.complete(Unit)
            assertEquals(BrokerError.LOGGED_OUT, code(first.await()))
            assertEquals(List(2) { client.sdkToken("alice") }, tokens)
        }
    }

    @Test
    fun `a login waits for a logout that is still in the SDK, but for one timeout only`() = runBlocking {
        lateinit var login: SdkLogin
        val slow = SlowSdk { login }
        var mayLogOut = CompletableDeferred<Unit>()
        val sdk = object : VendorSdk by slow {
            override suspend fun logout() {
                mayLogOut.await()
                slow.logout()
            }
        }
        login = login(broker.client(sessions, storage), sdk, sdkTimeout = 3.seconds)
        for (doesAnswer in listOf(true, false)) {
            login.login("alice")
            val logout = async(Dispatchers.Default) { login.logout() }
            eventually { values.get("sdk-token") == null }
            val next = logIn("alice", login)
            delay(300.milliseconds)
            if (doesAnswer) {
                mayLogOut.complete(Unit)
                logout.await()
            }
            withTimeout(10.seconds) { next.await().getOrThrow() }
            assertTrue(slow.isIn)
            mayLogOut.complete(Unit)
            logout.await()
            mayLogOut = CompletableDeferred()
        }
    }

    /** Each of its logouts ends when the test ends it. */
    private inner class HeldLogouts(private val slow: SlowSdk) : VendorSdk by slow {
        val held = CopyOnWriteArrayList<CompletableDeferred<Unit>>()

        override suspend fun logout() {
            CompletableDeferred<Unit>().also { held += it }.await()
            slow.logout()
        }
    }

    private fun CoroutineScope.logOut(login: SdkLogin) = async(Dispatchers.Default) { login.logout() }

    @Test
    fun `a login waits for each logout that is still in the SDK, not only for the last one`() = runBlocking {
        lateinit var login: SdkLogin
        val slow = SlowSdk { login }
        val sdk = HeldLogouts(slow)
        login = login(broker.client(sessions, storage), sdk)
        login.login("alice")
        val logouts = List(2) { index -> logOut(login).also { eventually { sdk.held.size == index + 1 } } }
        sdk.held[1].complete(Unit)
        logouts[1].await()
        val next = logIn("alice", login)
        delay(300.milliseconds)
        sdk.held[0].complete(Unit)
        logouts[0].await()
        next.await().getOrThrow()
        assertTrue(slow.isIn)
    }

    @Test
    fun `a login waits for a logout that began while another login gave up waiting`() = runBlocking {
        lateinit var login: SdkLogin
        val slow = SlowSdk { login }
        val sdk = HeldLogouts(slow)
        login = login(broker.client(sessions, storage), sdk, sdkTimeout = 3.seconds)
        login.login("alice")
        val first = logOut(login)
        eventually { sdk.held.size == 1 }
        val ended = logIn("alice", login)
        delay(300.milliseconds)
        val second = logOut(login)
        eventually { sdk.held.size == 2 }
        val next = logIn("alice", login)
        assertEquals(BrokerError.LOGGED_OUT, code(ended.await()))
        delay(300.milliseconds)
        sdk.held[1].complete(Unit)
        second.await()
        next.await().getOrThrow()
        assertTrue(slow.isIn)
        sdk.held[0].complete(Unit)
        first.await()
        Unit
    }

    @Test
    fun `a login waits for the logout after a kick-out, also if the app's scope is busy`() = runBlocking {
        val thread = Executors.newSingleThreadExecutor()
        val released = CountDownLatch(1)
        lateinit var login: SdkLogin
        val sdk = SlowSdk { login }
        val busy = CoroutineScope(thread.asCoroutineDispatcher())
        login = SdkLogin(broker.client(sessions, storage), sdk, listener, busy)
        login.login("alice")
        thread.execute { released.await(60, TimeUnit.SECONDS) }
        login.onKickedOut()
        val next = logIn("alice", login)
        delay(300.milliseconds)
        released.countDown()
        next.await().getOrThrow()
        eventually { heard.isNotEmpty() }
        assertTrue(sdk.isIn)
        thread.shutdown()
    }

    @Test
    fun `the app hears of a kick-out in its scope, whatever thread the SDK uses`() {
        val thread = Executors.newSingleThreadExecutor { Thread(it, "app") }
        val threads = CopyOnWriteArraySet<String>()
        val heard = CountDownLatch(10_000)
        val listener = object : AccountListener by listener {
            override fun onKickedOut() {
                threads += Thread.currentThread().name.substringBefore(" @")
                heard.countDown()
            }
        }
        val login = SdkLogin(broker.client(sessions), sdk, listener, CoroutineScope(thread.asCoroutineDispatcher()))
        repeat(10_000) { login.onKickedOut() }
        assertTrue(heard.await(60, TimeUnit.SECONDS))
        assertEquals(setOf("app"), threads)
        thread.shutdown()
    }

    @Test
    fun `an expired token does not undo a logout that comes while the SDK is asked for its state`() = runBlocking {
        val calls = CopyOnWriteArrayList<String>()
        lateinit var login: SdkLogin
        val sdk = object : VendorSdk {
            override suspend fun login(hostUserId: String) { calls += hostUserId }
            override suspend fun logout() = Unit
            override fun isLoggedIn() = runBlocking { login.logout() }.let { false }
        }
        login = login(broker.client(sessions, storage), sdk)
        login.login("alice")
        login.onTokenExpired()
        delay(1.seconds)
        assertEquals(listOf("alice"), calls)
    }

    @Test
    fun `a login that the SDK ends after a logout does not undo the logout`() = runBlocking {
        lateinit var login: SdkLogin
        val mayEnd = CompletableDeferred<Unit>()
        val slow = SlowSdk { login }
        val sdk = object : VendorSdk by slow {
            override suspend fun login(hostUserId: String) {
                slow.login(hostUserId)
                slow.isIn = false
                mayEnd.await()
                slow.isIn = true
            }
        }
        login = login(broker.client(sessions, storage), sdk)
        val first = logIn("alice", login)
        eventually { slow.tokens.isNotEmpty() }
        login.logout()
        mayEnd.complete(Unit)
        assertEquals(BrokerError.LOGGED_OUT, code(first.await()))
        assertFalse(slow.isIn)
    }

    @Test
    fun `logins of one account from several threads have one result`() = runBlocking {
        repeat(500) {
            val sdk = object : VendorSdk {
                override suspend fun login(hostUserId: String) = Unit
                override suspend fun logout() = Unit
                override fun isLoggedIn() = true
            }
            val login = login(broker.client(sessions, storage), sdk)
            val waiting = AtomicInteger(2)
            List(2) {
                async(Dispatchers.Default) {
                    waiting.decrementAndGet()
                    while (waiting.get() > 0) Unit
                    login.login("alice")
                }
            }.awaitAll()
        }
    }

    @Test
    fun `a login on another thread that begins amid a logout comes after all of it`() = runBlocking {
        lateinit var next: Deferred<Result<Unit>>
        val dispatcher = object : CoroutineDispatcher() {
            @Volatile var isInLogout = false
            override fun dispatch(context: CoroutineContext, block: Runnable) {
                if (isInLogout) runBlocking {
                    isInLogout = false
                    next = scope.async { runCatching { login.login("alice") } }
                    withTimeoutOrNull(1.seconds) { next.join() }
                }
                Dispatchers.Default.dispatch(context, block)
            }
        }
        login.login("alice")
        withContext(dispatcher) {
            dispatcher.isInLogout = true
            login.logout()
        }
        next.await().getOrThrow()
        assertTrue(sdk.isIn)
        login.token()
        Unit
    }

    @Test
    fun `of the logins of two accounts from two threads, the last one counts`() = runBlocking {
        repeat(1_000) {
            val calls = CopyOnWriteArrayList<String>()
            val sdk = object : VendorSdk {
                override suspend fun login(hostUserId: String) { calls += hostUserId }
                override suspend fun logout() = Unit
                override fun isLoggedIn() = true
            }
            val login = login(broker.client(sessions, storage), sdk)
            val waiting = AtomicInteger(2)
            val logins = listOf("alice", "bob").associateWith {
                async(Dispatchers.Default) {
                    waiting.decrementAndGet()
                    while (waiting.get() > 0) Unit
                    runCatching { login.login(it) }
                }
            }
            logins.values.awaitAll()
            assertTrue(logins.getValue(calls.last()).await().isSuccess)
        }
    }

    @Test
    fun `whatever the SDK throws is an SdkFailure`() = runBlocking {
        for (thrown in listOf(IllegalStateException("not ready"), Throwable("as the vendor's GWError"))) {
            val sdk = object : VendorSdk {
                override suspend fun login(hostUserId: String): Unit = throw thrown
                override suspend fun logout(): Unit = throw thrown
                override fun isLoggedIn() = false
            }
            val login = login(broker.client(sessions, storage), sdk)
            assertTrue(logIn("alice", login).await().exceptionOrNull() is SdkFailure)
            val logout = async(Dispatchers.Default) { runCatching { login.logout() } }
            assertTrue(logout.await().exceptionOrNull() is SdkFailure)
        }
    }

    @Test
    fun `the late answer to a question of a login that is over does not count as one of the next login`() = runBlocking {
        val threadOfQuestion = Executors.newSingleThreadExecutor()
        val released = CountDownLatch(1)
        lateinit var question: Deferred<Result<SdkToken>>
        lateinit var login: SdkLogin
        val calls = mutableListOf<String>()
        val sdk = object : VendorSdk {
            override suspend fun login(hostUserId: String) {
                calls += hostUserId
                if (hostUserId == "alice") {
                    question = scope.async(threadOfQuestion.asCoroutineDispatcher()) { runCatching { login.token() } }
                    throw SdkFailure(IOException("The SDK does not wait for the token"))
                }
                login.token()
                if (calls.size > 2) return
                released.countDown()
                assertEquals(BrokerError.LOGGED_OUT, (question.await().exceptionOrNull() as BrokerError).code)
                throw SdkFailure(IOException("The token is refused"))
            }

            override suspend fun logout() = Unit
            override fun isLoggedIn() = false
        }
        login = login(broker.client(sessions, storage), sdk)
        mayAnswer = CompletableDeferred()
        assertTrue(logIn("alice", login).await().exceptionOrNull() is SdkFailure)
        eventually { isAsked }
        threadOfQuestion.execute { released.await(60, TimeUnit.SECONDS) }
        own = bob
        mayAnswer = CompletableDeferred(Unit)
        logIn("bob", login).await().getOrThrow()
        assertEquals(listOf("alice", "bob", "bob"), calls)
        threadOfQuestion.shutdown()
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
