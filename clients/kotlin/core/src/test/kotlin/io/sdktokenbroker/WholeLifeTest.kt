package io.sdktokenbroker

import example.CameraApp
import example.OwnLogin
import example.Screen
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.TestCloud
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import java.io.IOException
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.job
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Test
import sdkstub.AccountEvent
import sdkstub.GWIoT
import sdkstub.GWResult

/** The example of the documents, from the first login to the logout. */
class WholeLifeTest {
    private class TestLogin(private val sessions: TestSessions) : OwnLogin, SessionSource by sessions {
        override var userId: String? = null
        override fun end() { userId = null }
    }

    private val seen = CopyOnWriteArrayList<String>()
    private val screen = object : Screen {
        override fun showLogin() { seen += "login" }
        override fun showKickedOut() { seen += "kicked out" }
        override fun showError(code: String) { seen += code }
    }

    /** Until then, the start itself would log in a user who is set. */
    private suspend fun CoroutineScope.awaitStart() = coroutineContext.job.children.toList().joinAll()

    @Test
    fun `the whole life of the example app`() = LocalBroker().use { broker ->
        val sessions = TestSessions(broker)
        val login = TestLogin(sessions)
        val storage = InMemoryTokenStorage()
        val scope = CoroutineScope(Dispatchers.Default)
        val proxy = TestProxy(broker.port)
        val cloud = TestCloud(broker) { it == sessions.current }
        val url = "http://127.0.0.1:${proxy.port}"
        fun logins() = broker.vendorLogins(sessions.account)
        fun start(): CameraApp {
            GWIoT.reset()
            GWIoT.vendorAccepts = { broker.vendorAccepts(it.accessToken) }
            return CameraApp(login, screen, scope, storage, url, cloud.url).also { it.onProcessStart() }
        }
        try {
            runBlocking {
                // First login. The token is in the response of the app's own login. It lives for 6 s.
                broker.vendor("tokenLifetimeSeconds" to 6, "mode" to "replace")
                var app = start()
                scope.awaitStart()
                val path = "/accounts/${sessions.account}/terminals/${GWIoT.phoneUniqueId()}/sdk-token"
                val handedIn = broker.internal(path)
                login.userId = "alice"
                app.onOwnLogin("alice", handedIn.body, handedIn.etag)
                assertEquals(true, GWIoT.isLogin.value)
                assertEquals(0, proxy.requests.size)

                // The broker renews the token in the background. The app's next start finds the new one.
                broker.vendor("tokenLifetimeSeconds" to 86_400)
                val first = checkNotNull(GWIoT.token()).accessToken
                eventually { logins() == 2 }
                assertFalse(broker.vendorAccepts(first))
                app = start()
                eventually { GWIoT.isLogin.value == true }
                val second = checkNotNull(GWIoT.token()).accessToken
                assertNotEquals(first, second)
                assertEquals(2, logins())

                // The vendor refuses the token while the broker still holds it.
                GWIoT.dropLogin()
                GWIoT.vendorAccepts = { it.accessToken != second && broker.vendorAccepts(it.accessToken) }
                app.logIn("alice")
                val third = checkNotNull(GWIoT.token()).accessToken
                assertNotEquals(second, third)
                assertEquals(3, logins())

                // Kicked out. The user wants to go on here.
                GWIoT.accountEvent.postValue(AccountEvent.KickedOut)
                eventually { seen.isNotEmpty() }
                assertEquals(listOf("kicked out"), seen)
                assertEquals(false, GWIoT.isLogin.value)
                app.logIn("alice")
                assertNotEquals(third, GWIoT.token()?.accessToken)
                assertEquals(4, logins())

                // Share a camera.
                val bob = TestSessions(broker)
                cloud.add("bob", bob.account, "Bob")
                val bobsId = broker.client(bob).sdkToken("alice").accessId
                assertEquals(bobsId, (GWIoT.accountByName("bob") as GWResult.Success).data?.accessId)
                val shared = GWIoT.accountsByAccessId(listOf(bobsId)) as GWResult.Success
                assertEquals(listOf("Bob"), shared.data?.map { it.nickName })

                app.logOut()
                assertEquals(false, GWIoT.isLogin.value)
                assertEquals(null, login.userId)
                assertEquals(0, broker.terminals(sessions.account))
                assertEquals(listOf("kicked out", "login"), seen)
            }
        } finally {
            scope.cancel()
            proxy.close()
            cloud.close()
        }
    }

    @Test
    fun `the example app logs out when its session has ended, so that another account can log in`() = runBlocking {
        GWIoT.reset()
        val broker = LocalBroker.shared
        val sessions = TestSessions(broker)
        val login = TestLogin(sessions)
        val storage = InMemoryTokenStorage()
        val scope = CoroutineScope(Dispatchers.Default)
        val app = CameraApp(login, screen, scope, storage, broker.url, "http://127.0.0.1:1")
        app.onProcessStart()
        scope.awaitStart()
        login.userId = "alice"
        app.logIn("alice")
        GWIoT.dropLogin()
        sessions.current = "ended"
        sessions.next = { "ended" }
        app.logIn("alice")
        assertEquals(listOf("login"), seen)
        assertEquals(null, login.userId)
        assertEquals(null, storage.get("sdk-token"))
        scope.cancel()
    }

    @Test
    fun `the example app also logs out if its session has ended when the token expires`() = runBlocking {
        GWIoT.reset()
        val broker = LocalBroker.shared
        val sessions = TestSessions(broker)
        val login = TestLogin(sessions)
        val scope = CoroutineScope(Dispatchers.Default)
        val app = CameraApp(login, screen, scope, InMemoryTokenStorage(), broker.url, "http://127.0.0.1:1")
        app.onLoginFailed(BrokerError.loggedOut())
        login.userId = "alice"
        app.onProcessStart()
        scope.awaitStart()
        sessions.current = "ended"
        sessions.next = { "ended" }
        GWIoT.dropLogin()
        GWIoT.accountEvent.postValue(AccountEvent.AccessTokenExpired)
        eventually { seen.isNotEmpty() }
        assertEquals(listOf("login"), seen)
        assertEquals(null, login.userId)
        app.onLoginFailed(SdkFailure(IllegalStateException("no reason")))
        eventually { seen.size == 2 }
        assertEquals(listOf("login", "sdk"), seen)
        scope.cancel()
    }

    @Test
    fun `the example app shows the login screen after its own logout, so that the logout ends no later login`() =
        runBlocking {
            GWIoT.reset()
            val broker = LocalBroker.shared
            val login = TestLogin(TestSessions(broker))
            val scope = CoroutineScope(Dispatchers.Default)
            TestProxy(broker.port).use { proxy ->
                val released = CountDownLatch(1)
                proxy.beforeForwarding = { released.await(60, TimeUnit.SECONDS) }
                val url = "http://127.0.0.1:${proxy.port}"
                val app = CameraApp(login, screen, scope, InMemoryTokenStorage(), url, "http://127.0.0.1:1")
                app.onProcessStart()
                scope.awaitStart()
                login.userId = "alice"
                val loggingIn = launch(Dispatchers.Default) { app.logIn("alice") }
                eventually { proxy.requests.size == 1 }
                val loggingOut = launch(Dispatchers.Default) { app.logOut() }
                // It ends with `logged_out`, while the logout still waits for the broker.
                loggingIn.join()
                assertEquals(emptyList<String>(), seen)
                released.countDown()
                loggingOut.join()
                assertEquals(listOf("login"), seen)
                assertEquals(null, login.userId)
            }
            scope.cancel()
        }

    @Test
    fun `the example app logs in, although the response of its own login contains no token`() = runBlocking {
        GWIoT.reset()
        val broker = LocalBroker.shared
        val login = TestLogin(TestSessions(broker))
        val scope = CoroutineScope(Dispatchers.Default)
        val app = CameraApp(login, screen, scope, InMemoryTokenStorage(), broker.url, "http://127.0.0.1:1")
        app.onProcessStart()
        scope.awaitStart()
        for (text in listOf("", "{}")) {
            app.onOwnLogin("alice", text, null)
            assertEquals(true, GWIoT.isLogin.value)
            GWIoT.dropLogin()
        }
        scope.cancel()
    }

    @Test
    fun `the example app shows an error, and does not crash, if its own login needs the network and has none`() =
        runBlocking {
            GWIoT.reset()
            val login = object : OwnLogin {
                override var userId: String? = "alice"
                override suspend fun session(): String = throw IOException("no network")
                override suspend fun renewedSession(refused: String) = session()
                override fun end() { userId = null }
            }
            val scope = CoroutineScope(Dispatchers.Default)
            val app = CameraApp(login, screen, scope, InMemoryTokenStorage(), LocalBroker.shared.url, "http://127.0.0.1:1")
            app.onProcessStart()
            eventually { seen == listOf("network_unavailable") }
            app.logOut()
            assertEquals(null, login.userId)
            scope.cancel()
        }
}
