package io.sdktokenbroker.okhttp

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

/** Stands for the HTTPDNS service of a cloud provider, which the app asks over HTTPS. */
private class HttpDns(private val addresses: Map<String, String>) {
    val asked = CopyOnWriteArrayList<String>()

    fun resolve(host: String): String? {
        asked += host
        return addresses[host]
    }
}

/** Without a read timeout, so that OkHttp closes no connection that the transport should close. */
private val patient = OkHttpClient.Builder().readTimeout(0, TimeUnit.SECONDS).build()

class OkHttpTransportTest : TransportContract(OkHttpTransport(patient)) {
    private val broker = LocalBroker.shared
    private val sessions = TestSessions(broker)

    private fun client(url: String, http: OkHttpClient) =
        SdkTokenClient(url, PHONE, sessions, InMemoryTokenStorage(), transport = OkHttpTransport(http))

    @Test
    fun `the broker's address comes from HTTPDNS, if the app's OkHttp client uses it`() = runBlocking {
        val httpDns = HttpDns(mapOf("broker.invalid" to "127.0.0.1"))
        // docs: httpdns
        val http = OkHttpClient.Builder()
            .dns(object : Dns {
                override fun lookup(hostname: String) =
                    httpDns.resolve(hostname)?.let { listOf(InetAddress.getByName(it)) } ?: Dns.SYSTEM.lookup(hostname)
            })
            .build()
        val transport = OkHttpTransport(http)
        // docs end
        val client = SdkTokenClient(
            "http://broker.invalid:${broker.port}", PHONE, sessions, InMemoryTokenStorage(), transport = transport,
        )
        assertTrue(broker.vendorAccepts(client.sdkToken().accessToken))
        assertEquals(listOf("broker.invalid"), httpDns.asked)
    }

    @Test
    fun `the interceptors of the app's OkHttp client see each request`() = runBlocking {
        val seen = CopyOnWriteArrayList<String>()
        val http = OkHttpClient.Builder().addInterceptor { chain ->
            chain.proceed(chain.request()).also { seen += "${chain.request().method} ${it.code}" }
        }.build()
        client(broker.url, http).run {
            sdkToken()
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
        client(broker.url, http).sdkToken()
        assertEquals(1, sessions.renewals)
    }
}
