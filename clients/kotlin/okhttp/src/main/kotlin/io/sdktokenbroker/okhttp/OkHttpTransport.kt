package io.sdktokenbroker.okhttp

import io.sdktokenbroker.Transport
import io.sdktokenbroker.TransportAnswer
import io.sdktokenbroker.TransportRequest
import java.io.IOException
import java.util.concurrent.TimeUnit
import okhttp3.Authenticator
import okhttp3.Headers.Companion.toHeaders
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody

/**
 * Sends with the OkHttp client of your app: its connections, its DNS (for example HTTPDNS), its interceptors and its
 * certificate pins. It follows no redirect, stores no answer in the cache of the client, and does not call the
 * authenticator of the client, because the client of the broker renews the session itself.
 */
class OkHttpTransport(client: OkHttpClient) : Transport {
    private val client = client.newBuilder()
        .followRedirects(false)
        .followSslRedirects(false)
        .cache(null)
        .authenticator(Authenticator.NONE)
        .build()

    @Throws(IOException::class)
    override fun send(request: TransportRequest): TransportAnswer {
        val call = client.newCall(
            Request.Builder()
                .url(request.url)
                .headers(request.headers.toHeaders())
                .method(request.method, request.body?.toRequestBody())
                .build(),
        )
        call.timeout().timeout(request.timeoutMs, TimeUnit.MILLISECONDS)
        request.onCancel(call::cancel)
        val response = call.execute()
        return TransportAnswer(response.code, response.body?.byteStream()) { name -> response.header(name) }
    }
}
