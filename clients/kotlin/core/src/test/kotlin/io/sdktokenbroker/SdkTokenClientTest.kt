package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.call
import io.sdktokenbroker.support.eventually
import io.sdktokenbroker.support.page
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTimedValue
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.runBlocking
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** The client with the built broker and the vendor simulator. */
class SdkTokenClientTest {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)
    private val storage = InMemoryTokenStorage()
    private val client = broker.client(sessions, storage)

    private fun failure(client: SdkTokenClient = this.client) =
        assertThrows<BrokerError> { runBlocking { client.sdkToken("alice") } }

    @Test
    fun `first-token - the first call returns a token that the vendor accepts, after one login`() = runBlocking {
        val token = client.sdkToken("alice")
        assertTrue(broker.vendorAccepts(token.accessToken))
        assertTrue(token.expireTime.toLong() > System.currentTimeMillis() / 1_000)
        assertEquals(JSONObject(token.expend).getString("regRegion"), "DE")
        assertEquals(1, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `token-unchanged - a second call gets 304 and returns the stored token, also after a restart`() = TestProxy(broker.port).use {
        runBlocking {
            val first = broker.client(sessions, storage, it.port).sdkToken("alice")
            assertEquals(first, broker.client(sessions, storage, it.port).sdkToken("alice"))
        }
        assertEquals(listOf("HTTP/1.1 200 OK", "HTTP/1.1 304 Not Modified"), it.answers)
        assertEquals(1, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `refused-token - after tokenWasRefused, the next call returns another token, and the report is made once`() = runBlocking {
        val first = client.sdkToken("alice")
        client.tokenWasRefused()
        val second = client.sdkToken("alice")
        assertNotEquals(first.accessToken, second.accessToken)
        assertTrue(broker.vendorAccepts(second.accessToken))
        assertEquals(second, client.sdkToken("alice"))
        assertEquals(2, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `a token that another phone or request has replaced already costs no login`() = runBlocking {
        client.sdkToken("alice")
        val other = broker.client(sessions)
        other.sdkToken("alice")
        other.tokenWasRefused()
        val newer = other.sdkToken("alice")
        client.tokenWasRefused()
        assertEquals(newer, client.sdkToken("alice"))
        assertEquals(2, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `without a token, tokenWasRefused changes nothing`() = runBlocking {
        client.tokenWasRefused()
        client.sdkToken("alice")
        assertEquals(1, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `refusal-after-restart - a refusal is reported although the process died before the next start`() = FileStorage.temporary { file ->
        val first = runBlocking { broker.client(sessions, FileStorage(file)).sdkToken("alice") }
        val child = ProcessBuilder(
            "${System.getProperty("java.home")}/bin/java", "-cp", System.getProperty("java.class.path"),
            "io.sdktokenbroker.RefuseAndDieKt", file.path,
        ).inheritIO().start()
        assertEquals(EXIT_CODE_OF_DEATH, child.waitFor())
        val second = runBlocking { broker.client(sessions, FileStorage(file)).sdkToken("alice") }
        assertNotEquals(first.accessToken, second.accessToken)
    }

    @Test
    fun `retry-after - after 429, it waits as long as the broker says, and succeeds`() = runBlocking {
        client.sdkToken("alice")
        val url = "${broker.url}/sdk-token?uniqueId=$PHONE"
        val statuses = generateSequence { call(url, authorization = "Bearer ${sessions.current}").status }
        assertEquals(429, statuses.take(200).first { it != 200 })
        val (token, duration) = measureTimedValue { client.sdkToken("alice") }
        assertTrue(broker.vendorAccepts(token.accessToken))
        assertTrue(duration >= 1.seconds, "$duration")
    }

    @Test
    fun `wait-beyond-deadline - a wait that is longer than the deadline is not begun, and the error says how long it is`() {
        val problem = JSONObject().put("code", "rate_limited").put("retryable", true).put("requestId", "r-1").toString()
        val answer = page("429 Too Many Requests", problem, "Retry-After: 60", type = "application/problem+json")
        TestProxy(broker.port).use { proxy ->
            proxy.answer = { answer }
            val (error, duration) = measureTimedValue { failure(broker.client(sessions, port = proxy.port)) }
            assertEquals(Kind.RATE_LIMITED, error.kind)
            assertEquals(60, error.retryAfter)
            assertEquals("r-1", error.requestId)
            assertTrue(duration < 10.seconds, "$duration")
            assertEquals(1, proxy.requests.size)
        }
    }

    @Test
    fun `while the vendor is down the error says so, and when it is back a waiting call succeeds`() {
        LocalBroker().use { broker ->
            val sessions = TestSessions(broker)
            broker.vendor("fault" to "http-500")
            val error = failure(broker.client(sessions, totalDeadline = 2.seconds))
            assertEquals(Kind.VENDOR_TROUBLE, error.kind)
            assertTrue(error.retryable)
            broker.vendor("fault" to "none")
            val token = runBlocking { broker.client(sessions).sdkToken("alice") }
            assertTrue(broker.vendorAccepts(token.accessToken))
        }
    }

    @Test
    fun `not-retryable - an account that the vendor has closed is forbidden, without a retry`() {
        LocalBroker().use { broker ->
            broker.vendor("fault" to "account-closed")
            val error = failure(broker.client(TestSessions(broker)))
            assertEquals(Kind.FORBIDDEN, error.kind)
            assertEquals("account_disabled", error.code)
            assertFalse(error.retryable)
        }
    }

    @Test
    fun `app and regRegion are sent where they are set, and a wrong one is the app's mistake`() {
        val wrong = SdkTokenClient(broker.url, "a+b&c=", sessions, storage, app = "default", regRegion = "XX")
        val error = failure(wrong)
        assertEquals(Kind.INVALID_REQUEST, error.kind)
        assertTrue("regRegion" in error.message.orEmpty(), error.message)
        val right = SdkTokenClient(broker.url, "a+b&c=", sessions, storage, app = "default", regRegion = "FR")
        runBlocking { right.sdkToken("alice") }
        val account = JSONObject(broker.internal("/accounts/${sessions.account}").body)
        assertEquals("FR", account.getString("region"))
        assertEquals("a+b&c=", account.getJSONArray("terminals").getJSONObject(0).getString("uniqueId"))
    }

    @Test
    fun `handed-in-token - the token of the app's own login response is returned once without a request, and then asked for`() {
        val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
        runBlocking { client.useToken("alice", handedIn.body, handedIn.etag) }
        TestProxy(broker.port).use { proxy ->
            val restarted = broker.client(sessions, storage, proxy.port)
            runBlocking {
                val token = restarted.sdkToken("alice")
                assertEquals(JSONObject(handedIn.body).getString("accessToken"), token.accessToken)
                assertEquals(0, proxy.requests.size)
                assertEquals(token, restarted.sdkToken("alice"))
            }
            assertEquals(listOf("HTTP/1.1 304 Not Modified"), proxy.answers)
        }
    }

    @Test
    fun `handed-in-token - one that has expired is not returned`() {
        val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
        val token = runBlocking {
            client.useToken("alice", JSONObject(handedIn.body).put("expireTime", "1").toString())
            client.sdkToken("alice")
        }
        assertNotEquals("1", token.expireTime)
    }

    @Test
    fun `a handed-in token can be refused, too, with its ETag in any form and without it`() = runBlocking {
        for (change in listOf<(String) -> String?>({ "W/$it" }, { it.trim('"') }, { null })) {
            val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
            client.useToken("alice", handedIn.body, change(checkNotNull(handedIn.etag)))
            val first = client.sdkToken("alice")
            client.tokenWasRefused()
            assertNotEquals(first.accessToken, client.sdkToken("alice").accessToken)
        }
    }

    @Test
    fun `handed-in-token - a text that is no token is refused, and the error does not contain it`() {
        for (text in listOf("""{"accessToken":"secret"}""", "secret", "")) {
            val error = assertThrows<BrokerError> { runBlocking { client.useToken("alice", text) } }
            assertEquals(BrokerError.UNEXPECTED_ANSWER, error.code)
            assertFalse("secret" in error.stackTraceToString())
        }
        assertNull(storage.get("sdk-token"))
    }

    @Test
    fun `wrong-arguments - an address or a name of the phone that cannot work is refused at once, with what is allowed`() {
        val urls = listOf(
            "", "broker.example", "htp://x", "https://", "http://:80", "file:///tmp", "https://x:99999", "https://x:a",
            "https://x y", "https://x?a=b",
        )
        for (url in urls) {
            val client = assertThrows<IllegalArgumentException>(url) { SdkTokenClient(url, PHONE, sessions, storage) }
            assertTrue("brokerUrl must be an http or https URL" in client.message.orEmpty())
            val directory = assertThrows<IllegalArgumentException>(url) { CloudShareDirectory(url, this.client) }
            assertTrue("cloudUrl must be an http or https URL" in directory.message.orEmpty())
        }
        for (name in listOf("", "a b", "手机", "a".repeat(129), ".", "..")) {
            val error = assertThrows<IllegalArgumentException> { SdkTokenClient(broker.url, name, sessions, storage) }
            assertEquals("uniqueId must be 1 to 128 visible ASCII characters, and not . or .. alone", error.message)
        }
        for (limit in listOf(Duration.ZERO, (-1).seconds, 601.seconds, Duration.INFINITE, Long.MAX_VALUE.milliseconds)) {
            for (name in listOf("totalDeadline", "attemptTimeout")) {
                val error = assertThrows<IllegalArgumentException> {
                    val (total, attempt) = if (name == "totalDeadline") limit to 1.seconds else 1.seconds to limit
                    SdkTokenClient(broker.url, PHONE, sessions, storage, totalDeadline = total, attemptTimeout = attempt)
                }
                assertEquals("$name is $limit, but must be more than 0 and at most 10 minutes", error.message)
            }
        }
        SdkTokenClient("HTTPS://[::1]:8443/a/", "a".repeat(128), sessions, storage)
    }

    @Test
    fun `damaged-storage - a storage with rubbish in it counts as empty`() {
        storage.put("sdk-token", "rubbish")
        assertTrue(broker.vendorAccepts(runBlocking { client.sdkToken("alice") }.accessToken))
    }

    @Test
    fun `other-user-during-request - the first call is logged out, and each user gets the own token`() = runBlocking {
        val bob = TestSessions(broker)
        var own = sessions
        val source = object : SessionSource {
            override suspend fun session() = own.session()
            override suspend fun renewedSession(refused: String) = own.renewedSession(refused)
        }
        TestProxy(broker.port).use { proxy ->
            val client = broker.client(source, storage, proxy.port)
            val released = CountDownLatch(1)
            proxy.beforeAnswering = { answer -> if (answer == 1) released.await(60, TimeUnit.SECONDS) }
            val first = async(Dispatchers.Default) { runCatching { client.sdkToken("alice") } }
            eventually { proxy.answers.size == 1 }
            own = bob
            val second = client.sdkToken("bob")
            assertEquals(Kind.LOGGED_OUT, (first.await().exceptionOrNull() as BrokerError).kind)
            released.countDown()
            assertEquals(broker.client(bob).sdkToken("bob").accessId, second.accessId)
            assertEquals(second, client.sdkToken("bob"))
        }
    }

    @Test
    fun `other-user-stored - the token of the user before is deleted before the broker is asked`() = runBlocking {
        val first = client.sdkToken("alice")
        TestProxy(broker.port).use { proxy ->
            val bob = TestSessions(broker)
            proxy.beforeForwarding = { assertNull(storage.get("sdk-token")) }
            val token = broker.client(bob, storage, proxy.port).sdkToken("bob")
            assertNotEquals(first.accessId, token.accessId)
            assertFalse(proxy.requests.single().contains("If-None-Match", ignoreCase = true))
        }
    }

    @Test
    fun `fake-in-app-tests - an app's tests can make an error and a client`() {
        val fake = object : TokenClient {
            override suspend fun sdkToken(userId: String) = throw BrokerError(Kind.FORBIDDEN, "terminal_limit", status = 403)
            override suspend fun tokenWasRefused() = Unit
            override suspend fun useToken(userId: String, json: String?, etag: String?) = Unit
            override suspend fun logout() = true
        }
        val error = assertThrows<BrokerError> { runBlocking { fake.sdkToken("alice") } }
        assertEquals("terminal_limit", error.message)
    }

    @Test
    fun `no-secrets - the text of a token contains neither the access token nor the account`() {
        val token = runBlocking { client.sdkToken("alice") }
        for (secret in listOf(token.accessToken, token.accessId)) assertFalse(secret in "$token")
    }
}
