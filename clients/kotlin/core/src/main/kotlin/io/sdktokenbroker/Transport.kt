package io.sdktokenbroker

import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URL

/**
 * Sends HTTP requests for the client. The library contains two: [UrlConnectionTransport], and `OkHttpTransport` in
 * `sdk-token-client-okhttp`. The client calls it on a background thread, and decides about retries, sessions and
 * redirects itself. So a transport must not follow a redirect: the session would go to another server.
 */
fun interface Transport {
    /**
     * Sends [request] and returns as soon as the head of the answer is there. It may block.
     * @throws IOException if there is no answer. Any other exception counts as one
     */
    @Throws(IOException::class)
    fun send(request: TransportRequest): TransportAnswer
}

/**
 * @property headers to send as they are
 * @property timeoutMs for the whole request. The client cancels a request that takes longer
 */
class TransportRequest internal constructor(
    val method: String,
    val url: String,
    val headers: Map<String, String>,
    val body: ByteArray?,
    val timeoutMs: Long,
) {
    private var isCancelled = false
    private var close: Runnable? = null

    /** Names the [action] that closes the connection. It runs on another thread, or at once if it is already too late. */
    fun onCancel(action: Runnable) {
        val isLate = synchronized(this) {
            close = action
            isCancelled
        }
        if (isLate) action.run()
    }

    internal fun cancel() = synchronized(this) {
        isCancelled = true
        close
    }?.run()
}

/**
 * @property body the client closes it. It reads JSON only, and at most 64 KiB
 * @property header returns the value of the header with this name, in any case
 */
class TransportAnswer(val status: Int, val body: InputStream?, val header: (String) -> String?)

/** Opens a connection, without connecting. For an app that pins certificates or uses a proxy. */
fun interface OpenConnection {
    @Throws(IOException::class)
    fun open(url: URL): HttpURLConnection
}

/** Sends with the `HttpURLConnection` of Android or the JDK. */
class UrlConnectionTransport @JvmOverloads constructor(
    private val openConnection: OpenConnection = OpenConnection { it.openConnection() as HttpURLConnection },
) : Transport {
    @Throws(IOException::class)
    override fun send(request: TransportRequest): TransportAnswer {
        val connection = openConnection.open(URL(request.url))
        request.onCancel(connection::disconnect)
        return with(connection) {
            requestMethod = request.method
            connectTimeout = request.timeoutMs.toInt()
            readTimeout = connectTimeout
            instanceFollowRedirects = false
            useCaches = false
            // Not Map.forEach(::setRequestProperty): Android has that function of Java from API 24 on.
            for ((name, value) in request.headers) setRequestProperty(name, value)
            request.body?.let { body ->
                doOutput = true
                outputStream.use { it.write(body) }
            }
            TransportAnswer(responseCode, if (responseCode < 400) inputStream else errorStream, ::getHeaderField)
        }
    }
}

/** Says how a request carries the session. */
fun interface SessionHeaders {
    fun headersFor(session: String): Map<String, String>

    companion object {
        /** `Authorization: Bearer …` */
        @JvmField val BEARER = SessionHeaders { mapOf("Authorization" to "Bearer $it") }
    }
}
