package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.java.Callback
import io.sdktokenbroker.java.CallbackTokenClient
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.eventually
import io.sdktokenbroker.support.page
import java.io.File
import java.net.SocketTimeoutException
import java.security.KeyStore
import java.time.ZoneOffset
import java.time.ZonedDateTime
import java.time.format.DateTimeFormatter
import java.util.Locale
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import javax.net.ServerSocketFactory
import javax.net.ssl.HttpsURLConnection
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import javax.net.ssl.TrustManagerFactory
import kotlin.coroutines.EmptyCoroutineContext
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

/** The client, with trouble between the phone and the broker. */
class NetworkTroubleTest {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)
    private val storage = InMemoryTokenStorage()
    private val proxy = TestProxy(broker.port)
    private val client = broker.client(sessions, storage, proxy.port)

    @AfterEach
    fun closeProxy() = proxy.close()

    private fun failure(client: SdkTokenClient = this.client) =
        assertThrows<BrokerError> { runBlocking { client.sdkToken("alice") } }

    /** No timeout ends or repeats its requests within a test. */
    private fun patientClient() = broker.client(sessions, storage, proxy.port, 90.seconds, attemptTimeout = 90.seconds)

    private suspend fun awaitRequests(count: Int) = eventually { proxy.requests.size >= count }

    @Test
    fun `a token that is refused again while the client reports it causes no second request`() = runBlocking {
        val first = client.sdkToken("alice")
        val later = page("503 Service Unavailable", "Later", "Retry-After: 2")
        proxy.answer = { request -> later.takeIf { request < 4 } }
        client.tokenWasRefused()
        val callers = mutableListOf(async(Dispatchers.Default) { client.sdkToken("alice") })
        awaitRequests(2)
        client.tokenWasRefused()
        callers += async(Dispatchers.Default) { client.sdkToken("alice") }
        val tokens = callers.awaitAll().toSet()
        assertEquals(4, proxy.requests.size)
        assertEquals(1, (tokens - first).size)
    }

    @Test
    fun `foreign-answer - a redirect to a login page is not followed, and the stored token stays`() {
        val token = runBlocking { client.sdkToken("alice") }
        TestProxy(broker.port).use { portal ->
            proxy.answer = { page("302 Found", "", "Location: http://127.0.0.1:${portal.port}/login") }
            val error = failure()
            assertEquals(Kind.UNEXPECTED_ANSWER, error.kind)
            assertEquals(302, error.status)
            assertEquals(0, portal.requests.size)
        }
        proxy.answer = { null }
        assertEquals(token, runBlocking { client.sdkToken("alice") })
        assertEquals("HTTP/1.1 304 Not Modified", proxy.answers.last())
    }

    @Test
    fun `no-secrets - an error has no sentence of a gateway that repeats the session`() {
        val problem = """{"code":"bad_header","detail":"Authorization is: Bearer ${sessions.current}"}"""
        proxy.answer = { page("400 Bad Request", problem, type = "application/json") }
        assertEquals("bad_header", failure().message)
    }

    @Test
    fun `foreign-answer - a login page with status 200, or JSON that is no token, is not taken for a token`() {
        for (type in listOf("text/html", "application/json")) {
            for (body in listOf("<html>Log in</html>", "{}", "[]", """{"accessToken":"x"}""")) {
                proxy.answer = { page("200 OK", body, type = type) }
                assertEquals(BrokerError.UNEXPECTED_ANSWER, failure().code)
            }
        }
        assertEquals(null, storage.get("sdk-token"))
    }

    @Test
    fun `no-replica - a load balancer without a replica is asked again`() {
        proxy.answer = { request -> if (request < 3) page("503 Service Unavailable", "No replica") else null }
        assertTrue(broker.vendorAccepts(runBlocking { client.sdkToken("alice") }.accessToken))
        assertEquals(3, proxy.requests.size)
    }

    @Test
    fun `no-network - in airplane mode the error comes at once, and after it the call succeeds`() {
        proxy.disconnect()
        val duration = measureTime {
            val error = failure()
            assertEquals(Kind.NETWORK, error.kind)
            assertEquals(BrokerError.NETWORK_UNAVAILABLE, error.code)
            assertTrue(error.retryable)
        }
        assertTrue(duration < 10.seconds, "$duration")
        proxy.reconnect()
        assertTrue(broker.vendorAccepts(runBlocking { client.sdkToken("alice") }.accessToken))
    }

    @Test
    fun `a refusal that was not reported because of the network is reported later`() = runBlocking {
        val first = client.sdkToken("alice")
        client.tokenWasRefused()
        proxy.disconnect()
        failure()
        proxy.reconnect()
        assertNotEquals(first.accessToken, client.sdkToken("alice").accessToken)
    }

    @Test
    fun `attempt-timeout - a request without an answer is repeated until the deadline, and not longer`() {
        proxy.silent = true
        val impatient = broker.client(
            sessions, port = proxy.port, totalDeadline = 3.seconds, attemptTimeout = 300.milliseconds,
        )
        val duration = measureTime { assertEquals(BrokerError.NETWORK_TIMEOUT, failure(impatient).code) }
        assertTrue(duration < 10.seconds, "$duration")
        assertTrue(proxy.requests.size >= 2, "${proxy.requests.size} requests")
    }

    @Test
    fun `the deadline also ends a request that may take longer, and a session source that never answers`() {
        proxy.silent = true
        val oneAttempt = broker.client(sessions, port = proxy.port, totalDeadline = 500.milliseconds)
        val endless = object : SessionSource {
            override suspend fun session(): String = delay(60.seconds).let { "" }
            override suspend fun renewedSession(refused: String) = ""
        }
        val noSession = broker.client(endless, port = proxy.port, totalDeadline = 500.milliseconds)
        val duration = measureTime {
            assertEquals(BrokerError.NETWORK_TIMEOUT, failure(oneAttempt).code)
            assertEquals(BrokerError.NETWORK_TIMEOUT, failure(noSession).code)
        }
        assertTrue(duration < 8.seconds, "$duration")
    }

    @Test
    fun `the deadline holds although the app's own work has all threads of Dispatchers IO`() {
        val client = broker.client(sessions, storage, proxy.port, totalDeadline = 1.seconds)
        val java = CallbackTokenClient(client) { it.run() }
        val released = CountDownLatch(1)
        try {
            val busy = CountDownLatch(64)
            repeat(64) {
                Dispatchers.IO.dispatch(EmptyCoroutineContext) {
                    busy.countDown()
                    released.await(60, TimeUnit.SECONDS)
                }
            }
            assertTrue(busy.await(60, TimeUnit.SECONDS))
            val duration = measureTime {
                assertEquals(BrokerError.NETWORK_TIMEOUT, failure(client).code)
                val answer = CompletableFuture<Exception>()
                java.sdkToken("alice", object : Callback<SdkToken> {
                    override fun onSuccess(result: SdkToken) { answer.completeExceptionally(IllegalStateException()) }
                    override fun onFailure(error: Exception) { answer.complete(error) }
                })
                assertEquals(BrokerError.NETWORK_TIMEOUT, (answer.get(60, TimeUnit.SECONDS) as BrokerError).code)
                assertFalse(runBlocking { client.logout() })
            }
            assertTrue(duration < 20.seconds, "$duration")
        } finally {
            released.countDown()
        }
    }

    @Test
    fun `a timeout of the transport is a network timeout`() {
        val slow = Transport { throw SocketTimeoutException("Read timed out") }
        val client = SdkTokenClient(broker.url, PHONE, sessions, storage, totalDeadline = 300.milliseconds, transport = slow)
        assertEquals(BrokerError.NETWORK_TIMEOUT, failure(client).code)
    }

    @Test
    fun `callers-share-request - callers at the same time share one request`() = runBlocking {
        val released = CountDownLatch(1)
        proxy.beforeForwarding = { released.await(60, TimeUnit.SECONDS) }
        val calls = List(20) { async(Dispatchers.Default) { client.sdkToken("alice") } }
        awaitRequests(1)
        delay(200.milliseconds)
        released.countDown()
        assertEquals(1, calls.awaitAll().toSet().size)
        assertEquals(1, proxy.requests.size)
    }

    @Test
    fun `callers-share-request - a caller that is cancelled does not end the request of the others`() = runBlocking {
        val released = CountDownLatch(1)
        proxy.beforeForwarding = { released.await(60, TimeUnit.SECONDS) }
        val first = async(Dispatchers.Default) { client.sdkToken("alice") }
        awaitRequests(1)
        val second = async(Dispatchers.Default) { client.sdkToken("alice") }
        delay(200.milliseconds)
        first.cancelAndJoin()
        released.countDown()
        assertTrue(broker.vendorAccepts(second.await().accessToken))
        assertEquals(1, proxy.requests.size)
    }

    @Test
    fun `refused-during-request - a token that is refused while it is being asked for is returned to nobody`() = runBlocking {
        val client = patientClient()
        val refused = client.sdkToken("alice")
        val released = CountDownLatch(1)
        proxy.beforeForwarding = { released.await(60, TimeUnit.SECONDS) }
        val before = async(Dispatchers.Default) { client.sdkToken("alice") }
        awaitRequests(2)
        client.tokenWasRefused()
        val after = async(Dispatchers.Default) { client.sdkToken("alice") }
        awaitRequests(3)
        released.countDown()
        assertNotEquals(refused.accessToken, before.await().accessToken)
        assertNotEquals(refused.accessToken, after.await().accessToken)
        assertEquals(2, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `retry-after-unusable - an answer that says Retry-After 0 is not repeated without a pause`() {
        proxy.answer = { page("503 Service Unavailable", "", "Retry-After: 0") }
        failure(broker.client(sessions, storage, proxy.port, totalDeadline = 3.seconds))
        // The waits are at least 0.5 s, 1 s and 2 s.
        assertTrue(proxy.requests.size in 2..3, "${proxy.requests.size} requests")
    }

    @Test
    fun `retry-after - a Retry-After with a date counts as one with seconds`() {
        val inAnHour = ZonedDateTime.now(ZoneOffset.UTC).plusHours(1)
        for (pattern in listOf("EEE, dd MMM yyyy HH:mm:ss 'GMT'", "EEEE, dd-MMM-yy HH:mm:ss 'GMT'", "EEE MMM ppd HH:mm:ss yyyy")) {
            val date = DateTimeFormatter.ofPattern(pattern, Locale.US).format(inAnHour)
            val before = proxy.requests.size
            proxy.answer = { page("503 Service Unavailable", "", "Retry-After: $date") }
            assertTrue(failure().retryAfter in 3_500L..3_600L, date)
            assertEquals(before + 1, proxy.requests.size)
        }
    }

    @Test
    fun `retry-after-unusable - a Retry-After that is over or cannot be read counts as none`() {
        for (value in listOf("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 99 Nov 2094 08:49:37 GMT", "soon", "-1", "1.5")) {
            proxy.answer = { page("503 Service Unavailable", "", "Retry-After: $value") }
            assertEquals(null, failure(broker.client(sessions, storage, proxy.port, totalDeadline = 300.milliseconds)).retryAfter)
        }
    }

    @Test
    fun `whatever a transport or the function of the session headers throws is a BrokerError`() {
        val thrown = listOf(IllegalStateException("no DNS"), java.util.concurrent.CancellationException("not the caller's"))
        fun client(transport: Transport, headers: SessionHeaders = SessionHeaders.BEARER) =
            SdkTokenClient(broker.url, PHONE, sessions, storage, transport = transport, sessionHeaders = headers)
        val clients = thrown.flatMap { reason ->
            listOf(
                client({ throw reason }),
                client(UrlConnectionTransport { throw reason }),
                client(UrlConnectionTransport()) { throw reason },
            )
        }
        for (client in clients) {
            val error = failure(client)
            assertEquals(Kind.NETWORK to BrokerError.NETWORK_UNAVAILABLE, error.kind to error.code)
            assertTrue(generateSequence<Throwable>(error) { it.cause }.last().message in thrown.map { it.message })
        }
        assertFalse(runBlocking { clients.first().logout() })
    }

    @Test
    fun `over TLS it talks to a server whose certificate it trusts, and sends no session to another`(
        @TempDir folder: File,
    ) {
        val certificate = TestCertificate(folder)
        TestProxy(broker.port, certificate.server.serverSocketFactory as ServerSocketFactory).use { tls ->
            fun client(transport: Transport) =
                SdkTokenClient("https://localhost:${tls.port}/", PHONE, sessions, storage, transport = transport)
            val trusting = client(
                UrlConnectionTransport { url ->
                    (url.openConnection() as HttpsURLConnection)
                        .apply { sslSocketFactory = certificate.client.socketFactory }
                },
            )
            assertTrue(broker.vendorAccepts(runBlocking { trusting.sdkToken("alice") }.accessToken))
            val error = failure(client(UrlConnectionTransport()))
            assertEquals(BrokerError.NETWORK_UNAVAILABLE, error.code)
            assertEquals(1, tls.requests.size)
        }
    }
}

/** A certificate for localhost, made now. */
private class TestCertificate(folder: File) {
    private val password = "password".toCharArray()
    private val keys = File(folder, "server.p12")

    val server: SSLContext
    val client: SSLContext

    init {
        val keytool = ProcessBuilder(
            "${System.getProperty("java.home")}/bin/keytool", "-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12",
            "-keystore", keys.path, "-storepass", String(password),
            "-dname", "CN=localhost", "-ext", "SAN=dns:localhost",
        ).start()
        check(keytool.waitFor() == 0) { keytool.errorReader().readText() }
        val store = KeyStore.getInstance(keys, password)
        val keyManagers = KeyManagerFactory.getInstance("PKIX").apply { init(store, password) }.keyManagers
        server = SSLContext.getInstance("TLS").apply { init(keyManagers, null, null) }
        val trusted = KeyStore.getInstance("PKCS12").apply {
            load(null)
            setCertificateEntry("server", store.getCertificate("mykey"))
        }
        val trustManagers = TrustManagerFactory.getInstance("PKIX").apply { init(trusted) }.trustManagers
        client = SSLContext.getInstance("TLS").apply { init(null, trustManagers, null) }
    }
}
