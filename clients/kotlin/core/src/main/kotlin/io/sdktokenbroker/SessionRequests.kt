package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import java.io.IOException
import java.net.*
import kotlin.coroutines.EmptyCoroutineContext
import kotlin.random.Random
import kotlin.time.*
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import org.json.JSONObject

/** Opens a connection, without connecting, that sends the session. */
typealias OpenConnection = (url: URL, session: String) -> HttpURLConnection

/** Sends the session as `Authorization: Bearer …`. */
fun bearerConnection(url: URL, session: String): HttpURLConnection =
    (url.openConnection() as HttpURLConnection).apply { setRequestProperty("Authorization", "Bearer $session") }

internal class HttpRequest(
    val method: String, val url: String, val headers: Map<String, String> = emptyMap(), val body: JSONObject? = null,
)

/** @property json the body, if it is a JSON object */
internal data class HttpAnswer(val status: Int, val etag: String?, val retryAfter: Long?, val json: JSONObject?)

/** Requests with a session: renewed once after 401, and repeated while that helps, within a total deadline. */
internal class SessionRequests(
    private val totalDeadline: Duration,
    private val attemptTimeout: Duration,
    private val openConnection: OpenConnection,
) {
    fun deadline(): TimeMark = TimeSource.Monotonic.markNow() + totalDeadline

    /**
     * @param renew returns a new session; `null`: there is none
     * @param repeat whether it waits and asks again where that may help
     * @return the answer that [accept] accepts
     * @throws BrokerError for every other answer, and if there is none
     */
    suspend fun send(
        request: HttpRequest,
        session: suspend () -> String,
        renew: (suspend () -> String)?,
        deadline: TimeMark = deadline(),
        repeat: Boolean = true,
        accept: (HttpAnswer) -> Boolean,
    ): HttpAnswer {
        var failure = BrokerError(Kind.NETWORK, BrokerError.NETWORK_TIMEOUT, retryable = true)
        suspend fun attempts(): HttpAnswer {
            var current = session()
            var mayRenew = renew != null
            var backoff = 1.seconds
            while (true) {
                failure = try {
                    val answer = attempt(request, current)
                    if (accept(answer)) return answer
                    BrokerError.of(answer)
                } catch (error: BrokerError) {
                    error
                }
                if (failure.status == 401 && mayRenew && renew != null) {
                    mayRenew = false
                    current = renew()
                    continue
                }
                // Without a network the app learns it at once. It knows best when the network is back.
                if (!repeat || !failure.retryable || failure.code == BrokerError.NETWORK_UNAVAILABLE) throw failure
                val wait = failure.retryAfter?.seconds ?: (backoff * Random.nextDouble(0.5, 1.0)).also { backoff *= 2 }
                if (deadline.elapsedNow() + wait >= Duration.ZERO) throw failure
                delay(wait)
            }
        }
        return withTimeoutOrNull(-deadline.elapsedNow()) { attempts() } ?: throw failure
    }

    private suspend fun attempt(request: HttpRequest, session: String): HttpAnswer {
        // HttpURLConnection would throw an exception that contains the session.
        if (session.any { it !in ' '..'~' }) throw BrokerError(Kind.SESSION_NEEDED, "session_invalid")
        try {
            return withTimeoutOrNull(attemptTimeout) { exchange(request, session) }
                ?: throw BrokerError(Kind.NETWORK, BrokerError.NETWORK_TIMEOUT, retryable = true)
        } catch (error: IOException) {
            throw BrokerError.of(error)
        }
    }

    /** Cancellation returns at once. Another thread closes the connection, because that can block. */
    private suspend fun exchange(request: HttpRequest, session: String): HttpAnswer = suspendCancellableCoroutine {
        val connection = openConnection(URL(request.url), session)
        it.invokeOnCancellation { Dispatchers.IO.dispatch(EmptyCoroutineContext) { connection.disconnect() } }
        Dispatchers.IO.dispatch(EmptyCoroutineContext) {
            it.resumeWith(runCatching { connection.exchange(request) })
        }
    }

    private fun HttpURLConnection.exchange(request: HttpRequest): HttpAnswer {
        requestMethod = request.method
        connectTimeout = attemptTimeout.inWholeMilliseconds.toInt()
        readTimeout = connectTimeout
        // A redirect comes from a proxy, for example the login page of a public Wi-Fi. It must not get the session.
        instanceFollowRedirects = false
        // It adds `Cache-Control: no-cache` to a request without this header. To the broker that means a refused token.
        useCaches = false
        setRequestProperty("Cache-Control", "max-age=0")
        request.headers.forEach(::setRequestProperty)
        request.body?.let { body ->
            setRequestProperty("Content-Type", "application/json")
            doOutput = true
            outputStream.use { it.write(body.toString().toByteArray()) }
        }
        val status = responseCode
        val mediaType = contentType?.substringBefore(';')?.trim()?.lowercase()
        // Other bodies are not read: nothing bounds their size.
        val isJson = mediaType == "application/json" || mediaType == "application/problem+json"
        if (!isJson && mediaType != null) disconnect()
        val stream = (if (status < 400) inputStream else errorStream).takeIf { isJson }
        val json = stream?.use { jsonObject(it.readBytes().decodeToString()) }
        // 0 counts as no header: it would be a loop without a pause.
        val retryAfter = getHeaderField("Retry-After")?.toLongOrNull()?.takeIf { it > 0 }
        return HttpAnswer(status, getHeaderField("ETag"), retryAfter, json)
    }
}
