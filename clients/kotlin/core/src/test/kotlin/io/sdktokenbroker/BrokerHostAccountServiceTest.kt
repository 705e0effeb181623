package io.sdktokenbroker

import io.sdktokenbroker.gwiot.BrokerHostAccountService
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestCloud
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.json.JSONObject
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import sdkstub.AccountEvent
import sdkstub.GWError
import sdkstub.GWIoT
import sdkstub.GWResult

/** The adapter with the stub of the SDK, the built broker and the vendor simulator. */
class BrokerHostAccountServiceTest {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)
    private val proxy = TestProxy(broker.port)
    private val client = broker.client(sessions, port = proxy.port)
    private val scope = CoroutineScope(Dispatchers.Default)
    private val cloud = TestCloud(broker) { it == sessions.current }
    private val heard = CopyOnWriteArrayList<String>()
    private val listener = object : AccountListener {
        override fun onKickedOut() { heard += "kicked out" }
        override fun onLoginFailed(error: Exception) { heard += "login failed: ${(error as? BrokerError)?.code}" }
    }
    private val service = BrokerHostAccountService(
        client, CloudShareDirectory(cloud.url, client), listener, scope, expirySettles = 100.milliseconds,
    )

    init {
        GWIoT.reset()
        GWIoT.vendorAccepts = { broker.vendorAccepts(it.accessToken) }
        GWIoT.registerHostAccountService(service)
        GWIoT.accountEvent.observeForever(service::onAccountEvent)
    }

    @AfterEach
    fun close() {
        scope.cancel()
        proxy.close()
        cloud.close()
    }

    private fun accessId(sessions: TestSessions): String =
        JSONObject(broker.internal("/accounts/${sessions.account}").body).optString("accessId")

    private fun logins() = broker.vendorLogins(sessions.account)

    @Test
    fun `the SDK gets the five strings unchanged`() = runBlocking {
        service.login("alice")
        val token = client.sdkToken("alice")
        val info = checkNotNull(GWIoT.token())
        assertEquals(
            listOf(token.accessId, token.accessToken, token.expireTime, token.terminalId, token.expend),
            listOf(info.accessId, info.accessToken, info.expireTime, info.terminalId, info.expend),
        )
    }

    @Test
    fun `an error of the broker is a GWResult Failure for the SDK, and login throws it`() = runBlocking {
        sessions.current = "no session"
        sessions.next = { "no session either" }
        assertEquals("session_invalid", assertThrows<BrokerError> { service.login("alice") }.code)
        val result = service.onRequestUserC2CInfo() as GWResult.Failure
        assertTrue("session_invalid" in result.err?.message.orEmpty(), result.err?.message)
    }

    @Test
    fun `an error that the SDK has without a question for a token is thrown, and no token counts as refused`() =
        runBlocking {
            service.login("alice")
            GWIoT.loginFailure = GWError("the SDK has no network")
            assertEquals("the SDK has no network", assertThrows<SdkFailure> { service.login("alice") }.cause?.message)
            client.sdkToken("alice")
            assertEquals(1, logins())
        }

    @Test
    fun `a login that fails with a fresh token is tried once more, with another token`() = runBlocking {
        val refused = client.sdkToken("alice").accessToken
        GWIoT.vendorAccepts = { it.accessToken != refused && broker.vendorAccepts(it.accessToken) }
        service.login("alice")
        assertNotEquals(refused, GWIoT.token()?.accessToken)
        assertEquals(2, logins())
    }

    @Test
    fun `if the SDK refuses the other token, too, its error is thrown`() = runBlocking {
        GWIoT.vendorAccepts = { false }
        assertThrows<SdkFailure> { service.login("alice") }
        assertEquals(2, logins())
    }

    @Test
    fun `an SDK that renewed an expired token by itself is not logged in again, but gets another token when it asks`() =
        runBlocking {
            service.login("alice")
            val expired = GWIoT.token()?.accessToken
            GWIoT.accountEvent.postValue(AccountEvent.AccessTokenExpired)
            delay(500.milliseconds)
            assertEquals(1, GWIoT.logins)
            assertEquals(1, proxy.requests.size)
            val info = (service.onRequestUserC2CInfo() as GWResult.Success).data
            assertNotEquals(expired, info?.accessToken)
        }

    @Test
    fun `an SDK that logged out because its token had expired is logged in again, with another token`() = runBlocking {
        service.login("alice")
        val expired = GWIoT.token()?.accessToken
        GWIoT.dropLogin()
        GWIoT.accountEvent.postValue(AccountEvent.AccessTokenExpired)
        eventually { GWIoT.isLogin.value == true }
        assertNotEquals(expired, GWIoT.token()?.accessToken)
        assertEquals(emptyList<String>(), heard)
    }

    @Test
    fun `if that login fails, the app is told why`() = runBlocking {
        service.login("alice")
        GWIoT.dropLogin()
        proxy.disconnect()
        GWIoT.accountEvent.postValue(AccountEvent.AccessTokenExpired)
        eventually { heard.isNotEmpty() }
        assertEquals(listOf("login failed: network_unavailable"), heard)
    }

    @Test
    fun `a token that expires after the logout logs nobody in`() = runBlocking {
        service.login("alice")
        service.logout()
        GWIoT.accountEvent.postValue(AccountEvent.AccessTokenExpired)
        delay(500.milliseconds)
        assertEquals(false, GWIoT.isLogin.value)
        assertEquals(1, logins())
    }

    @Test
    fun `the SDK never gets the stored token of the account before, although nobody logged that account out`() =
        runBlocking {
            val storage = InMemoryTokenStorage()
            fun start(sessions: TestSessions): Pair<SdkTokenClient, BrokerHostAccountService> {
                GWIoT.reset()
                val client = broker.client(sessions, storage, proxy.port)
                val service = BrokerHostAccountService(
                    client, CloudShareDirectory(cloud.url, client), listener, scope,
                )
                GWIoT.registerHostAccountService(service)
                return client to service
            }
            val (client, service) = start(sessions)
            service.login("alice")
            // The next response of alice's own login contains a token. The SDK has a login, so it does not ask for it.
            val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
            client.useToken("alice", handedIn.body, handedIn.etag)
            service.login("alice")
            val bob = TestSessions(broker)
            start(bob).second.login("bob")
            assertEquals(accessId(bob), GWIoT.token()?.accessId)
        }

    @Test
    fun `a login of another account does not get the answer to a request of the account before`() = runBlocking {
        val alice = sessions
        val bob = TestSessions(broker)
        var own: TestSessions = alice
        val source = object : SessionSource {
            override suspend fun session() = own.session()
            override suspend fun renewedSession(refused: String) = own.renewedSession(refused)
        }
        val shared = BrokerHostAccountService(
            broker.client(source, port = proxy.port), CloudShareDirectory(cloud.url, client), listener, scope,
        )
        GWIoT.registerHostAccountService(shared)
        val released = CountDownLatch(1)
        proxy.beforeForwarding = { released.await(60, TimeUnit.SECONDS) }
        val first = launch(Dispatchers.Default) { runCatching { shared.login("alice") } }
        eventually { proxy.requests.size == 1 }
        own = bob
        val second = launch(Dispatchers.Default) { shared.login("bob") }
        delay(300.milliseconds)
        released.countDown()
        first.join()
        second.join()
        assertEquals(accessId(bob), GWIoT.token()?.accessId)
    }

    @Test
    fun `a login that fails because of a logout is not tried again, and gets no new token`() = runBlocking {
        val asked = CountDownLatch(1)
        val loggedOut = CountDownLatch(1)
        GWIoT.vendorAccepts = {
            asked.countDown()
            loggedOut.await(60, TimeUnit.SECONDS)
            false
        }
        val login = async(Dispatchers.Default) { runCatching { service.login("alice") } }
        eventually { asked.count == 0L }
        assertTrue(service.logout())
        GWIoT.vendorAccepts = { true }
        loggedOut.countDown()
        assertEquals(BrokerError.LOGGED_OUT, (login.await().exceptionOrNull() as? BrokerError)?.code)
        assertEquals(false, GWIoT.isLogin.value)
        assertEquals(1, logins())
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `after a logout or after being kicked out, the SDK gets no token before the next login`() = runBlocking {
        service.login("alice")
        GWIoT.accountEvent.postValue(AccountEvent.KickedOut)
        eventually { heard.isNotEmpty() }
        val requests = proxy.requests.size
        assertTrue(service.onRequestUserC2CInfo() is GWResult.Failure)
        assertEquals(requests, proxy.requests.size)
        service.login("alice")
        service.logout()
        assertTrue(service.onRequestUserC2CInfo() is GWResult.Failure)
        assertEquals(0, broker.terminals(sessions.account))
        service.login("alice")
        assertEquals(true, GWIoT.isLogin.value)
    }

    @Test
    fun `after being kicked out, the SDK is logged out, the app is told, and the broker is not asked`() = runBlocking {
        service.login("alice")
        val requests = proxy.requests.size
        GWIoT.accountEvent.postValue(AccountEvent.KickedOut)
        eventually { heard.isNotEmpty() }
        assertEquals(listOf("kicked out"), heard)
        assertEquals(false, GWIoT.isLogin.value)
        GWIoT.accountEvent.postValue(AccountEvent.AccessTokenExpired)
        GWIoT.accountEvent.postValue(AccountEvent.AccountUnregistered(bySelf = false))
        delay(500.milliseconds)
        assertEquals(requests, proxy.requests.size)
        assertEquals(1, broker.terminals(sessions.account))
    }

    @Test
    fun `logout without a network logs the SDK out`() = runBlocking {
        service.login("alice")
        proxy.disconnect()
        assertFalse(service.logout())
        assertEquals(false, GWIoT.isLogin.value)
    }

    @Test
    fun `if the SDK cannot log out, its error is thrown, and the broker has forgotten the token`() = runBlocking {
        service.login("alice")
        GWIoT.logoutFailure = GWError("the SDK is busy")
        assertThrows<SdkFailure> { service.logout() }
        assertEquals(0, broker.terminals(sessions.account))
    }

    @Test
    fun `the SDK learns of accounts to share a camera with, and of unknown ones by a Failure`() = runBlocking {
        val bob = broker.newAccount()
        val accessId = broker.client(TestSessions(broker, bob)).sdkToken("alice").accessId
        cloud.add("bob", bob, "Bob")
        val found = GWIoT.accountByName("bob") as GWResult.Success
        assertEquals(accessId to "Bob", found.data?.let { it.accessId to it.nickName })
        val list = GWIoT.accountsByAccessId(listOf(accessId, "-1")) as GWResult.Success
        assertEquals(listOf(found.data), list.data)
        assertTrue(GWIoT.accountByName("nobody") is GWResult.Failure)
    }

    @Test
    fun `a cancelled question of the SDK is cancelled, and no Failure`() = runBlocking {
        service.login("alice")
        proxy.silent = true
        var result: GWResult<*>? = null
        val question: Job = launch(Dispatchers.Default) { result = service.onRequestUserC2CInfo() }
        eventually { proxy.requests.size == 2 }
        question.cancelAndJoin()
        assertEquals(null, result)
    }
}
