package io.sdktokenbroker.okhttp

import example.HttpDns
import example.JavaHttpDns
import io.sdktokenbroker.BrokerError
import io.sdktokenbroker.InMemoryTokenStorage
import io.sdktokenbroker.SdkTokenClient
import io.sdktokenbroker.support.LocalBroker
import io.sdktokenbroker.support.PHONE
import io.sdktokenbroker.support.TestSessions
import io.sdktokenbroker.support.TransportContract
import java.net.InetAddress
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.runBlocking
import okhttp3.Dns
import okhttp3.OkHttpClient
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** Without a read timeout, so that OkHttp closes no connection that the transport should close. */
private val patient = OkHttpClient.Builder().readTimeout(0, TimeUnit.SECONDS).build()

class OkHttpTransportTest : TransportContract(OkHttpTransport(patient)) {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)

    private fun client(url: String, http: OkHttpClient) =
        SdkTokenClient(url, PHONE, sessions, InMemoryTokenStorage(), transport = OkHttpTransport(http))

    private fun kotlinTransport(httpDns: HttpDns): OkHttpTransport {
        // docs: httpdns
        val http = OkHttpClient.Builder()
            .dns(object : Dns {
                override fun lookup(hostname: String) =
                    httpDns.resolve(hostname).map(InetAddress::getByName).ifEmpty { Dns.SYSTEM.lookup(hostname) }
            })
            .build()
        val transport = OkHttpTransport(http)
        // docs end
        return transport
    }

    @Test
    fun `the broker's addresses come from HTTPDNS, if the app's OkHttp client uses it, and each of them is tried`() =
        runBlocking {
            val asked = CopyOnWriteArrayList<String>()
            // Nothing listens on the first address.
            val httpDns = HttpDns { host ->
                asked += host
                listOf("127.0.0.9", "127.0.0.1").takeIf { host == "broker.invalid" }.orEmpty()
            }
            for (transport in listOf(kotlinTransport(httpDns), JavaHttpDns.transport(httpDns))) {
                for (host in listOf("broker.invalid", "localhost")) {
                    val url = "http://$host:${broker.port}"
                    val client = SdkTokenClient(url, PHONE, sessions, InMemoryTokenStorage(), transport = transport)
                    assertTrue(broker.vendorAccepts(client.sdkToken("alice").accessToken))
                }
            }
            assertEquals(listOf("broker.invalid", "localhost", "broker.invalid", "localhost"), asked)
        }

    @Test
    fun `an exception of the app's Dns or interceptor is a BrokerError`() {
        val clients = listOf(
            OkHttpClient.Builder().dns(JavaHttpDns.returningNull()),
            OkHttpClient.Builder().dns(object : Dns {
                override fun lookup(hostname: String) = throw IllegalStateException("no HTTPDNS")
            }),
            OkHttpClient.Builder().addInterceptor { throw IllegalStateException("no token of the app") },
        )
        for (http in clients) {
            val client = client("http://localhost:${broker.port}", http.build())
            val error = assertThrows<BrokerError> { runBlocking { client.sdkToken("alice") } }
            assertEquals(BrokerError.NETWORK_UNAVAILABLE, error.code)
        }
    }

    @Test
    fun `the interceptors of the app's OkHttp client see each request`() = runBlocking {
        val seen = CopyOnWriteArrayList<String>()
        val http = OkHttpClient.Builder().addInterceptor { chain ->
            chain.proceed(chain.request()).also { seen += "${chain.request().method} ${it.code}" }
        }.build()
        client(broker.url, http).run {
            sdkToken("alice")
            logout()
        }
        assertEquals(listOf("GET 200", "DELETE 204"), seen)
    }

    @Test
    fun `the authenticator of the app's OkHttp client does not send its own session`() = runBlocking {
        val http = OkHttpClient.Builder()
            .authenticator { _, response -> response.request.newBuilder().header("Authorization", "Bearer other").build() }
            .build()
        sessions.current = "ended"
        client(broker.url, http).sdkToken("alice")
        assertEquals(1, sessions.renewals)
    }
}
