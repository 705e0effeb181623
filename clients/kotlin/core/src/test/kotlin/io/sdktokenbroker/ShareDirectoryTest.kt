package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.TestCloud
import io.sdktokenbroker.support.TestProxy
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.page
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

class ShareDirectoryTest {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)
    private val other = TestSessions(broker)
    private var accepted = sessions.current
    private val cloud = TestCloud(broker) { it == accepted }
    private val directory = CloudShareDirectory("${cloud.url}/", broker.client(sessions))
    private val accessId = runBlocking { broker.client(other).sdkToken("alice").accessId }

    init {
        cloud.add("bob+1@example.com", other.account, "b***1", "https://cloud.example/bob.png")
    }

    @AfterEach
    fun closeCloud() = cloud.close()

    @Test
    fun `an account is found by the name that the user typed`() = runBlocking {
        val expected = HostAccount(accessId, "b***1", "https://cloud.example/bob.png")
        assertEquals(expected, directory.accountByName("bob+1@example.com"))
    }

    @Test
    fun `an unknown name is not an error`() = runBlocking { assertNull(directory.accountByName("nobody")) }

    @Test
    fun `accounts are found by their accessIds, and unknown ones are missing`() = runBlocking {
        assertEquals(listOf(accessId), directory.accountsByAccessIds(listOf(accessId, "-1")).map { it.accessId })
    }

    @Test
    fun `a session that has ended is renewed once`() = runBlocking {
        accepted = "a new session"
        sessions.next = { accepted }
        assertNull(directory.accountByName("nobody"))
        assertEquals(1, sessions.renewals)
    }

    @Test
    fun `a wrong address is an error, and not an unknown account`() {
        TestProxy(0).use { proxy ->
            for (status in listOf("404 Not Found", "200 OK")) {
                proxy.answer = { page(status, "<html>Not found</html>") }
                val wrong = CloudShareDirectory("http://127.0.0.1:${proxy.port}", broker.client(sessions))
                val error = assertThrows<BrokerError> { runBlocking { wrong.accountByName("bob") } }
                assertEquals(Kind.UNEXPECTED_ANSWER, error.kind)
            }
        }
    }

    @Test
    fun `an answer without accounts is an error`() {
        TestProxy(0).use { proxy ->
            proxy.answer = { page("200 OK", "{}", type = "application/json") }
            val wrong = CloudShareDirectory("http://127.0.0.1:${proxy.port}", broker.client(sessions))
            val byName = assertThrows<BrokerError> { runBlocking { wrong.accountByName("bob") } }
            val byIds = assertThrows<BrokerError> { runBlocking { wrong.accountsByAccessIds(listOf("1")) } }
            assertEquals(listOf(Kind.UNEXPECTED_ANSWER, Kind.UNEXPECTED_ANSWER), listOf(byName.kind, byIds.kind))
        }
    }
}
