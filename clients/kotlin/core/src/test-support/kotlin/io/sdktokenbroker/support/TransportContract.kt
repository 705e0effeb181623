package io.sdktokenbroker.support

import io.sdktokenbroker.BrokerError
import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.CloudShareDirectory
import io.sdktokenbroker.InMemoryTokenStorage
import io.sdktokenbroker.SdkTokenClient
import io.sdktokenbroker.SessionHeaders
import io.sdktokenbroker.Transport
import io.sdktokenbroker.TransportRequest
import java.io.IOException
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** Every transport passes these tests, with the built broker and with servers that misbehave. */
abstract class TransportContract(private val transport: Transport) {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)
    private val storage = InMemoryTokenStorage()
    private val proxy = TestProxy(broker.port)
    private val client = client()

    private fun client(attemptTimeoutMs: Int = 10_000, sessionHeaders: SessionHeaders = SessionHeaders.BEARER) =
        SdkTokenClient(
            "http://127.0.0.1:${proxy.port}", PHONE, sessions, storage, totalDeadline = 30.seconds,
            attemptTimeout = attemptTimeoutMs.milliseconds, transport = transport, sessionHeaders = sessionHeaders,
        )

    @AfterEach
    fun closeProxy() = proxy.close()

    private fun failure(client: SdkTokenClient = this.client) =
        assertThrows<BrokerError> { runBlocking { client.sdkToken("alice") } }

    private fun lines(vararg names: String) = proxy.requests.map { head ->
        head.lines().filter { line -> names.any { line.startsWith("$it:", ignoreCase = true) } }.sorted()
    }

    @Test
    fun `a token is fetched, confirmed, refused, replaced and logged out`() = runBlocking {
        val first = client.sdkToken("alice")
        assertEquals(first, client.sdkToken("alice"))
        client.tokenWasRefused()
        val second = client.sdkToken("alice")
        assertNotEquals(first.accessToken, second.accessToken)
        assertTrue(broker.vendorAccepts(second.accessToken))
        assertTrue(client.logout())
        assertEquals(0, broker.terminals(sessions.account))
        assertEquals(listOf("200", "304", "200", "204"), proxy.answers.map { it.split(' ')[1] })
    }

    @Test
    fun `a session that the broker refuses is renewed once`() = runBlocking {
        sessions.current = broker.session(sessions.account, (-3_600).seconds)
        client.sdkToken("alice")
        assertEquals(listOf("401", "200"), proxy.answers.map { it.split(' ')[1] })
    }

    @Test
    fun `only a report of a refused token names it in the query, and each request has the session`() = runBlocking {
        client.sdkToken("alice")
        client.sdkToken("alice")
        client.tokenWasRefused()
        client.sdkToken("alice")
        val etag = lines("If-None-Match")[1].single().substringAfter(": ")
        assertEquals(listOf(0, 1, 0), lines("If-None-Match").map { it.size })
        val queries = proxy.requests.map { it.substringBefore(" HTTP").substringAfter("uniqueId=$PHONE") }
        assertEquals(listOf("", "", "&refused=${etag.trim('"')}"), queries)
        assertEquals(List(3) { listOf("Authorization: Bearer ${sessions.current}") }, lines("Authorization"))
    }

    @Test
    fun `an app can send its session in a cookie`() {
        proxy.answer = { page("401 Unauthorized", "", "WWW-Authenticate: Bearer") }
        val first = sessions.current
        failure(client(sessionHeaders = { mapOf("Cookie" to "sid=$it") }))
        val cookies = listOf(first, sessions.current).map { listOf("Cookie: sid=$it") }
        assertEquals(cookies, lines("Cookie", "Authorization"))
    }

    @Test
    fun `a question to the app's cloud is JSON, and is asked again with a new session`() = runBlocking {
        var accepted = "new"
        sessions.next = { accepted }
        TestCloud(broker) { it == accepted }.use { cloud ->
            cloud.add("bob", sessions.account, "Bob")
            accepted = sessions.current
            val accessId = client.sdkToken("alice").accessId
            accepted = "new"
            val directory = CloudShareDirectory(cloud.url, client)
            assertEquals(listOf("Bob"), directory.accountsByAccessIds(listOf(accessId)).map { it.nickName })
            assertEquals("Bob", directory.accountByName("bob")?.nickName)
        }
    }

    @Test
    fun `a redirect is not followed, so that no other server gets the session`() {
        TestProxy(broker.port).use { portal ->
            for (status in listOf("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect")) {
                proxy.answer = { page(status, "", "Location: http://127.0.0.1:${portal.port}/login") }
                val error = failure()
                assertEquals(Kind.UNEXPECTED_ANSWER, error.kind)
                assertEquals(status.substringBefore(' ').toInt(), error.status)
            }
            assertEquals(0, portal.requests.size)
        }
    }

    @Test
    fun `answer-too-long - an answer of more than 64 KiB is an error and not used, whether it ends or not`() {
        val json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        val heads = listOf("$json\r\n", "${json}Content-Length: 9223372036854775807\r\n\r\n", "${json}Transfer-Encoding: chunked\r\n\r\n")
        for (head in heads) {
            val before = proxy.abandoned.size
            proxy.endless = head
            val duration = measureTime { assertEquals(BrokerError.UNEXPECTED_ANSWER, failure().code) }
            assertTrue(duration < 8.seconds, "$duration")
            // The client has closed the connection.
            runBlocking { eventually { proxy.abandoned.size > before } }
        }
        proxy.endless = null
        proxy.answer = { page("200 OK", " ".repeat(64 * 1024 - 1) + "{}", type = "application/json") }
        assertEquals(BrokerError.UNEXPECTED_ANSWER, failure().code)
        assertEquals(null, storage.get("sdk-token"))
    }

    @Test
    fun `an answer of 64 KiB is used`() {
        val token = """{"accessId":"1","accessToken":"2","expireTime":"9999999999","terminalId":"3","expend":"{}"}"""
        proxy.answer = { page("200 OK", " ".repeat(64 * 1024 - token.length) + token, type = "application/json") }
        assertEquals("2", runBlocking { client.sdkToken("alice") }.accessToken)
    }

    @Test
    fun `a page that is not JSON is not read, and its connection is closed`() {
        proxy.endless = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nRetry-After: 60\r\n\r\n"
        assertEquals(503 to 60L, failure().let { it.status to it.retryAfter })
        runBlocking { eventually { proxy.abandoned.isNotEmpty() } }
    }

    @Test
    fun `a server that accepts the connection and never answers is a timeout`() {
        proxy.silent = true
        val duration = measureTime {
            val client = SdkTokenClient(
                "http://127.0.0.1:${proxy.port}", PHONE, sessions, storage, totalDeadline = 1.seconds,
                attemptTimeout = 300.milliseconds, transport = transport,
            )
            assertEquals(BrokerError.NETWORK_TIMEOUT, failure(client).code)
        }
        assertTrue(duration < 10.seconds, "$duration")
        runBlocking { eventually { proxy.abandoned.size == proxy.requests.size } }
    }

    @Test
    fun `without a network the error comes at once`() {
        proxy.disconnect()
        assertEquals(BrokerError.NETWORK_UNAVAILABLE, failure().code)
    }

    @Test
    fun `an address that no library accepts is an error, as a network without a server is`() {
        for (host in listOf("%", "broker.invalid")) {
            val client = SdkTokenClient("http://$host", PHONE, sessions, storage, transport = transport)
            assertEquals(BrokerError.NETWORK_UNAVAILABLE, failure(client).code)
        }
    }

    @Test
    fun `a Retry-After that is larger than any wait is an error without a second request`() {
        proxy.answer = { page("503 Service Unavailable", "", "Retry-After: 99999999999999") }
        assertTrue(failure().retryable)
        assertEquals(1, proxy.requests.size)
    }

    @Test
    fun `a decorator in Java can catch the IOException of the transport`() {
        val send = transport.javaClass.getMethod("send", TransportRequest::class.java)
        assertEquals(listOf(IOException::class.java), send.exceptionTypes.toList())
    }

    @Test
    fun `a request that is cancelled closes its connection`() = runBlocking {
        val patient = client(attemptTimeoutMs = 90_000)
        proxy.silent = true
        val call = launch(Dispatchers.Default) { CloudShareDirectory("http://127.0.0.1:${proxy.port}", patient).accountByName("bob") }
        eventually { proxy.requests.size == 1 }
        val duration = measureTime { call.cancelAndJoin() }
        assertTrue(duration < 5.seconds, "$duration")
        eventually { proxy.abandoned.isNotEmpty() }
    }

    @Test
    fun `no error contains the session, not even one that cannot be sent`() {
        sessions.current = "secret\nsession"
        assertFalse("secret" in failure().stackTraceToString())
    }
}
