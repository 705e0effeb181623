package io.sdktokenbroker

import io.sdktokenbroker.gwiot.BrokerHostAccountService
import io.sdktokenbroker.java.Callback
import io.sdktokenbroker.java.CallbackTokenClient
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.cancel
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import sdkstub.AccountEvent
import sdkstub.GWIoT

/** On Android, a slow disk or network on the UI thread freezes the app. */
class ThreadsTest {
    private val broker = LocalBroker.shared
    private val ui = Executors.newSingleThreadExecutor { Thread(it, "ui") }
    private val uiDispatcher = ui.asCoroutineDispatcher()
    private val scope = CoroutineScope(uiDispatcher)

    /** What was used, and on which thread. Coroutines change the name of a thread, but not at its start. */
    private val accesses = ConcurrentLinkedQueue<Pair<String, String>>()
    private val mayAccess = CountDownLatch(1)

    private fun note(what: String) {
        accesses += what to Thread.currentThread().name.substringBefore(" @")
        mayAccess.await(60, TimeUnit.SECONDS)
    }

    private val storage = object : TokenStorage {
        private val values = InMemoryTokenStorage()
        override fun get(key: String): String? { note("storage"); return values.get(key) }
        override fun put(key: String, value: String) { note("storage"); values.put(key, value) }
        override fun remove(key: String) { note("storage"); values.remove(key) }
    }
    private val transport = UrlConnectionTransport().let { jdk ->
        Transport { request ->
            note("network")
            jdk.send(request).let { answer ->
                val body = answer.body?.let { stream ->
                    object : java.io.FilterInputStream(stream) {
                        override fun read(bytes: ByteArray, from: Int, count: Int): Int {
                            note("network")
                            return super.read(bytes, from, count)
                        }
                    }
                }
                TransportAnswer(answer.status, body, answer.header)
            }
        }
    }
    private val alice = TestSessions(broker)
    private val sessions = object : SessionSource {
        override suspend fun session(): String { note("session"); return alice.session() }
        override suspend fun renewedSession(refused: String): String { note("session"); return alice.renewedSession(refused) }
    }

    @AfterEach
    fun close() {
        mayAccess.countDown()
        scope.cancel()
        ui.shutdown()
    }

    private fun handedIn() = broker.internal("/accounts/${alice.account}/terminals/$PHONE/sdk-token")

    private fun <T> onUi(action: () -> T): T = ui.submit(action).get(60, TimeUnit.SECONDS)

    private fun assertNothingOnUi() {
        assertEquals(setOf("storage", "network", "session"), accesses.map { it.first }.toSet())
        assertEquals(emptyList<Any>(), accesses.filter { it.second == "ui" })
    }

    @Test
    fun `all functions of the client use storage, network and sessions on other threads`() = runBlocking {
        mayAccess.countDown()
        val token = handedIn()
        withContext(uiDispatcher) {
            val client = SdkTokenClient(broker.url, PHONE, sessions, storage, transport = transport)
            client.useToken("alice", token.body, token.etag)
            client.sdkToken("alice")
            client.tokenWasRefused()
            client.sdkToken("alice")
            CloudShareDirectory(broker.url, client).runCatching { accountByName("bob") }
            client.logout()
        }
        assertNothingOnUi()
    }

    @Test
    fun `the SDK's events and questions use storage, network and sessions on other threads`() = runBlocking {
        mayAccess.countDown()
        GWIoT.reset()
        val heard = ConcurrentLinkedQueue<String>()
        val listener = object : AccountListener {
            override fun onKickedOut() { heard += Thread.currentThread().name.substringBefore(" @") }
            override fun onLoginFailed(error: Exception) = throw error
        }
        val service = onUi {
            val client = SdkTokenClient(broker.url, PHONE, sessions, storage, transport = transport)
            val directory = CloudShareDirectory(broker.url, client)
            BrokerHostAccountService(client, directory, listener, scope)
        }
        GWIoT.registerHostAccountService(service)
        GWIoT.accountEvent.observeForever(service::onAccountEvent)
        withContext(uiDispatcher) { service.login("alice") }
        val first = GWIoT.token()?.accessToken
        onUi { GWIoT.accountEvent.postValue(AccountEvent.AccessTokenExpired) }
        onUi { GWIoT.accountEvent.postValue(AccountEvent.KickedOut) }
        eventually { heard.isNotEmpty() }
        assertEquals(listOf("ui"), heard.toList())
        withContext(uiDispatcher) {
            service.login("alice")
            service.logout()
        }
        assertNotEquals(null, first)
        assertNothingOnUi()
    }

    @Test
    fun `no method for Java waits for storage, network or sessions`() {
        val token = handedIn()
        val refused = CompletableFuture<SdkToken>()
        val confirmed = CompletableFuture<Boolean>()
        onUi {
            val client = CallbackTokenClient(SdkTokenClient(broker.url, PHONE, sessions, storage, transport = transport), ui)
            client.useToken("alice", token.body, token.etag)
            client.tokenWasRefused()
            client.sdkToken("alice", completing(refused))
            client.logout(completing(confirmed))
        }
        // All have returned, although the storage is blocked until now.
        mayAccess.countDown()
        assertTrue(confirmed.get(60, TimeUnit.SECONDS))
        assertNothingOnUi()
    }

    @Test
    fun `calls take effect in the order in which they are made, although nobody waits for one`() {
        val token = handedIn()
        val bob = TestSessions(broker)
        val answers = List(20) { CompletableFuture<SdkToken>() }
        mayAccess.countDown()
        val client = CallbackTokenClient(SdkTokenClient(broker.url, PHONE, bob, storage, transport = transport)) { it.run() }
        onUi {
            for (answer in answers) {
                client.useToken("alice", token.body, token.etag)
                client.sdkToken("bob", completing(answer))
                client.tokenWasRefused()
                client.useToken("alice", token.body, token.etag)
            }
        }
        // Each request of bob ended when alice came back. None got the token of alice's login response.
        val codes = answers.map { answer ->
            runCatching { answer.get(60, TimeUnit.SECONDS) }.exceptionOrNull()?.cause.let { (it as BrokerError).code }
        }
        assertEquals(List(20) { BrokerError.LOGGED_OUT }, codes)
        val last = CompletableFuture<SdkToken>()
        client.sdkToken("alice", completing(last))
        assertTrue(last.get(60, TimeUnit.SECONDS).accessToken in token.body)
    }

    private fun <T> completing(future: CompletableFuture<T>) = object : Callback<T> {
        override fun onSuccess(result: T) { future.complete(result) }
        override fun onFailure(error: Exception) { future.completeExceptionally(error) }
    }
}
