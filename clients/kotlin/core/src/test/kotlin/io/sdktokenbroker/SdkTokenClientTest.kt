package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.call
import io.sdktokenbroker.support.page
import java.io.IOException
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTimedValue
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
        assertThrows<BrokerError> { runBlocking { client.sdkToken() } }

    @Test
    fun `the first call returns a token that the vendor accepts, after one login`() = runBlocking {
        val token = client.sdkToken()
        assertTrue(broker.vendorAccepts(token.accessToken))
        assertTrue(token.expireTime.toLong() > System.currentTimeMillis() / 1_000)
        assertEquals(JSONObject(token.expend).getString("regRegion"), "DE")
        assertEquals(1, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `a second call gets 304 and returns the stored token, also after a restart`() = TestProxy(broker.port).use {
        runBlocking {
            val first = broker.client(sessions, storage, it.port).sdkToken()
            assertEquals(first, broker.client(sessions, storage, it.port).sdkToken())
        }
        assertEquals(listOf("HTTP/1.1 200 OK", "HTTP/1.1 304 Not Modified"), it.answers)
        assertEquals(1, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `after tokenWasRefused, the next call returns another token, and the report is made once`() = runBlocking {
        val first = client.sdkToken()
        client.tokenWasRefused()
        val second = client.sdkToken()
        assertNotEquals(first.accessToken, second.accessToken)
        assertTrue(broker.vendorAccepts(second.accessToken))
        assertEquals(second, client.sdkToken())
        assertEquals(2, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `a token that another phone or request has replaced already costs no login`() = runBlocking {
        client.sdkToken()
        val other = broker.client(sessions)
        other.sdkToken()
        other.tokenWasRefused()
        val newer = other.sdkToken()
        client.tokenWasRefused()
        assertEquals(newer, client.sdkToken())
        assertEquals(2, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `without a token, tokenWasRefused changes nothing`() = runBlocking {
        client.tokenWasRefused()
        client.sdkToken()
        assertEquals(1, broker.vendorLogins(sessions.account))
    }

    @Test
    fun `a refusal is reported although the process died before the next start`() = FileStorage.temporary { file ->
        val first = runBlocking { broker.client(sessions, FileStorage(file)).sdkToken() }
        val child = ProcessBuilder(
            "${System.getProperty("java.home")}/bin/java", "-cp", System.getProperty("java.class.path"),
            "io.sdktokenbroker.RefuseAndDieKt", file.path,
        ).inheritIO().start()
        assertEquals(EXIT_CODE_OF_DEATH, child.waitFor())
        val second = runBlocking { broker.client(sessions, FileStorage(file)).sdkToken() }
        assertNotEquals(first.accessToken, second.accessToken)
    }

    @Test
    fun `a session that has ended is renewed once, and the call succeeds`() = runBlocking {
        sessions.current = broker.session(sessions.account, (-3_600).seconds)
        assertTrue(broker.vendorAccepts(client.sdkToken().accessToken))
        assertEquals(1, sessions.renewals)
    }

    @Test
    fun `if the renewed session is not accepted either, the error says that a session is needed`() {
        sessions.current = broker.session(sessions.account, (-3_600).seconds)
        sessions.next = { broker.session(sessions.account, (-3_600).seconds) }
        val error = failure()
        assertEquals(Kind.SESSION_NEEDED, error.kind)
        assertEquals("session_expired", error.code)
        assertEquals(401, error.status)
        assertEquals(1, sessions.renewals)
    }

    @Test
    fun `what the app's session source throws becomes a BrokerError`() {
        sessions.current = broker.session(sessions.account, (-3_600).seconds)
        val thrown = listOf(IOException("no network"), IllegalStateException("the app is logged out"))
        val errors = thrown.map { reason -> 
            sessions.next = { throw reason }
            failure()
        }
        assertEquals(listOf(Kind.NETWORK, Kind.SESSION_NEEDED), errors.map { it.kind })
        assertEquals(listOf("network_unavailable", "session_unavailable"), errors.map { it.code })
        // A coroutine copies an exception that it passes on.
        assertEquals(thrown.map { it.message }, errors.map { error -> rootCause(error).message })
    }

    private fun rootCause(error: Throwable) = generateSequence(error) { it.cause }.last()

    @Test
    fun `no error contains a session, not even one that cannot be sent`() {
        sessions.current = "secret\nsession"
        val error = failure()
        assertEquals(Kind.SESSION_NEEDED, error.kind)
        assertFalse("secret" in error.stackTraceToString())
    }

    @Test
    fun `after 429, it waits as long as the broker says, and succeeds`() = runBlocking {
        client.sdkToken()
        val url = "${broker.url}/sdk-token?uniqueId=$PHONE"
        val statuses = generateSequence { call(url, authorization = "Bearer ${sessions.current}").status }
        assertEquals(429, statuses.take(200).first { it != 200 })
        val (token, duration) = measureTimedValue { client.sdkToken() }
        assertTrue(broker.vendorAccepts(token.accessToken))
        assertTrue(duration >= 1.seconds, "$duration")
    }

    @Test
    fun `a wait that is longer than the deadline is not begun, and the error says how long it is`() {
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
            val token = runBlocking { broker.client(sessions).sdkToken() }
            assertTrue(broker.vendorAccepts(token.accessToken))
        }
    }

    @Test
    fun `an account that the vendor has closed is forbidden, without a retry`() {
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
        runBlocking { right.sdkToken() }
        val account = JSONObject(broker.internal("/accounts/${sessions.account}").body)
        assertEquals("FR", account.getString("region"))
        assertEquals("a+b&c=", account.getJSONArray("terminals").getJSONObject(0).getString("uniqueId"))
    }

    @Test
    fun `the token of the app's own login response is returned once without a request, and then asked for`() {
        val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
        runBlocking { client.useToken("alice", handedIn.body, handedIn.etag) }
        TestProxy(broker.port).use { proxy ->
            val restarted = broker.client(sessions, storage, proxy.port)
            runBlocking {
                val token = restarted.sdkToken()
                assertEquals(JSONObject(handedIn.body).getString("accessToken"), token.accessToken)
                assertEquals(0, proxy.requests.size)
                assertEquals(token, restarted.sdkToken())
            }
            assertEquals(listOf("HTTP/1.1 304 Not Modified"), proxy.answers)
        }
    }

    @Test
    fun `a handed-in token that has expired is not returned`() {
        val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
        val token = runBlocking {
            client.useToken("alice", JSONObject(handedIn.body).put("expireTime", "1").toString())
            client.sdkToken()
        }
        assertNotEquals("1", token.expireTime)
    }

    @Test
    fun `a handed-in token can be refused, too, with its ETag in any form and without it`() = runBlocking {
        for (change in listOf<(String) -> String?>({ "W/$it" }, { it.trim('"') }, { null })) {
            val handedIn = broker.internal("/accounts/${sessions.account}/terminals/$PHONE/sdk-token")
            client.useToken("alice", handedIn.body, change(checkNotNull(handedIn.etag)))
            val first = client.sdkToken()
            client.tokenWasRefused()
            assertNotEquals(first.accessToken, client.sdkToken().accessToken)
        }
    }

    @Test
    fun `a handed-in text that is no token is refused, and the error does not contain it`() {
        for (text in listOf("""{"accessToken":"secret"}""", "secret", "")) {
            val error = assertThrows<IllegalArgumentException> { runBlocking { client.useToken("alice", text) } }
            assertFalse("secret" in error.stackTraceToString())
        }
        assertNull(storage.get("sdk-token"))
    }

    @Test
    fun `a handed-in text that is no token switches to its user, who never gets the token of the user before`() =
        runBlocking {
            client.switchUser("alice")
            client.sdkToken()
            assertThrows<IllegalArgumentException> { client.useToken("bob", "{}") }
            assertNull(storage.get("sdk-token"))
            assertEquals("bob", storage.get("sdk-token.user"))
        }

    @Test
    fun `an address or a name of the phone that cannot work is refused at once, with what is allowed`() {
        val urls = listOf(
            "", "broker.example", "htp://x", "https://", "http://:80", "file:///tmp", "https://x:99999", "https://x:a",
            "https://x y", "https://x?a=b",
        )
        for (url in urls) {
            val client = assertThrows<IllegalArgumentException>(url) { SdkTokenClient(url, PHONE, sessions, storage) }
            assertTrue("brokerUrl must be an http or https URL" in client.message.orEmpty())
            val directory = assertThrows<IllegalArgumentException>(url) { CloudShareDirectory(url, sessions) }
            assertTrue("cloudUrl must be an http or https URL" in directory.message.orEmpty())
        }
        for (name in listOf("", "a b", "手机", "a".repeat(129), ".", "..")) {
            val error = assertThrows<IllegalArgumentException> { SdkTokenClient(broker.url, name, sessions, storage) }
            assertEquals("uniqueId must be 1 to 128 visible ASCII characters, and not . or .. alone", error.message)
        }
        SdkTokenClient("HTTPS://[::1]:8443/a/", "a".repeat(128), sessions, storage)
    }

    @Test
    fun `a storage with rubbish in it counts as empty`() {
        storage.put("sdk-token", "rubbish")
        storage.put("sdk-token.logouts", "rubbish")
        assertTrue(broker.vendorAccepts(runBlocking { client.sdkToken() }.accessToken))
    }

    @Test
    fun `the text of a token contains neither the access token nor the account`() {
        val token = runBlocking { client.sdkToken() }
        for (secret in listOf(token.accessToken, token.accessId)) assertFalse(secret in "$token")
    }
}
