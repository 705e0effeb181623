package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import java.io.ByteArrayOutputStream
import java.io.InputStream
import java.io.InterruptedIOException
import java.net.MalformedURLException
import java.net.URL
import java.text.ParseException
import java.text.SimpleDateFormat
import java.util.Locale
import java.util.TimeZone
import kotlin.coroutines.EmptyCoroutineContext
import kotlin.math.ceil
import kotlin.random.Random
import kotlin.time.*
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import org.json.JSONObject

/**
 * For the client's own coroutines, which end the calls at their deadlines. A view of `Dispatchers.IO` has threads of
 * its own: those of `Dispatchers.IO` itself may all be busy with the app's work, or with a [SessionSource] that hangs.
 */
@OptIn(ExperimentalCoroutinesApi::class) // Stable since kotlinx-coroutines 1.9.
internal val clientThreads = Dispatchers.IO.limitedParallelism(64)

internal class HttpRequest(
    val method: String, val url: String, val headers: Map<String, String> = emptyMap(), val body: JSONObject? = null,
)

/**
 * @property session the request was made with it
 * @property json the body, if it is a JSON object of at most 64 KiB
 */
internal class HttpAnswer(
    val status: Int, val etag: String?, val retryAfter: Long?, val json: JSONObject?, val session: String,
)

/** Requests with a session: renewed once after 401, and repeated while that helps, within a total deadline. */
internal class SessionRequests(
    private val sessions: Sessions,
    private val totalDeadline: Duration,
    private val attemptTimeout: Duration,
    private val transport: Transport,
    private val sessionHeaders: SessionHeaders,
) {
    init {
        for ((name, limit) in mapOf("totalDeadline" to totalDeadline, "attemptTimeout" to attemptTimeout)) {
            require(limit > Duration.ZERO && limit <= 10.minutes) {
                "$name is $limit, but must be more than 0 and at most 10 minutes"
            }
        }
    }

    fun deadline(): TimeMark = TimeSource.Monotonic.markNow() + totalDeadline

    /**
     * @return the answer that [accept] accepts
     * @throws BrokerError for every other answer, and if there is none
     */
    suspend fun send(
        request: HttpRequest, deadline: TimeMark = deadline(), accept: (HttpAnswer) -> Boolean,
    ): HttpAnswer = withTimeoutOrNull(-deadline.elapsedNow()) { repeat(request, deadline, accept) } ?: throw BrokerError.timeout()

    private suspend fun repeat(request: HttpRequest, deadline: TimeMark, accept: (HttpAnswer) -> Boolean): HttpAnswer {
        var session = sessions.current()
        var mayRenew = true
        var backoff = 1.seconds
        while (true) {
            val failure = try {
                val answer = attempt(request, session)
                if (accept(answer)) return answer
                BrokerError.of(answer)
            } catch (error: BrokerError) {
                error
            }
            if (failure.status == 401 && mayRenew) {
                val renewed = sessions.renewed(session)
                session = renewed.session
                // One that another request has brought may be old by now.
                mayRenew = renewed.isKnown
                continue
            }
            // Without a network the app learns it at once. It knows best when the network is back.
            if (!failure.retryable || failure.code == BrokerError.NETWORK_UNAVAILABLE) throw failure
            // The random part keeps apart the phones that lost the broker at the same time.
            val wait = failure.retryAfter?.seconds ?: (backoff * Random.nextDouble(0.5, 1.0)).also { backoff *= 2 }
            if (deadline.elapsedNow() + wait >= Duration.ZERO) throw failure
            delay(wait)
        }
    }

    /**
     * Sends [request] once, without a renewal.
     * @param session `null`: the one that the app has
     * @return whether the answer was 204: a page of a public Wi-Fi comes with 200
     */
    suspend fun sendOnce(request: HttpRequest, session: String?): Boolean = try {
        withTimeoutOrNull(minOf(attemptTimeout, totalDeadline)) {
            attempt(request, session ?: sessions.current()).status == 204
        } ?: false
    } catch (_: BrokerError) {
        false
    }

    private suspend fun attempt(request: HttpRequest, session: String): HttpAnswer {
        // The exception of an HTTP library would contain the session.
        if (session.any { it !in ' '..'~' }) throw BrokerError(Kind.SESSION_NEEDED, "session_invalid")
        val json = request.body?.let { mapOf("Content-Type" to "application/json") }.orEmpty()
        val body = request.body?.toString()?.toByteArray()
        val timeoutMs = attemptTimeout.inWholeMilliseconds
        val answer = try {
            val headers = json + request.headers + sessionHeaders.headersFor(session)
            withTimeoutOrNull(attemptTimeout) {
                exchange(TransportRequest(request.method, request.url, headers, body, timeoutMs), session)
            }
        } catch (error: InterruptedIOException) {
            // The timeout of the transport was the first to end. SocketTimeoutException is one, too.
            throw BrokerError.timeout(error)
        } catch (error: Exception) {
            // Passes on the cancellation of the caller. HTTP libraries, and the app's parts of them, throw anything.
            currentCoroutineContext().ensureActive()
            throw BrokerError.noAnswer(error)
        }
        return answer ?: throw BrokerError.timeout()
    }

    /** Cancellation returns at once. Another thread closes the connection, because that can block. */
    private suspend fun exchange(request: TransportRequest, session: String): HttpAnswer = suspendCancellableCoroutine {
        it.invokeOnCancellation { Dispatchers.IO.dispatch(EmptyCoroutineContext) { request.cancel() } }
        Dispatchers.IO.dispatch(EmptyCoroutineContext) {
            it.resumeWith(runCatching { read(request, transport.send(request), session) })
        }
    }

    private fun read(request: TransportRequest, answer: TransportAnswer, session: String): HttpAnswer {
        val mediaType = answer.header("Content-Type")?.substringBefore(';')?.trim()?.lowercase()
        val isJson = mediaType == "application/json" || mediaType == "application/problem+json"
        val text = answer.body?.use { body ->
            // Closing the stream first would read the rest of the body, which may have no end.
            body.takeIf { isJson }?.readAtMost(MAX_BYTES).also { if (it == null && mediaType != null) request.cancel() }
        }
        // 0 counts as no header: it would be a loop without a pause.
        val retryAfter = answer.header("Retry-After")?.let { it.toLongOrNull() ?: secondsUntil(it) }?.takeIf { it > 0 }
        return HttpAnswer(answer.status, answer.header("ETag"), retryAfter, text?.let(::jsonObject), session)
    }

    private companion object {
        /** A token has less than 1 KiB. */
        const val MAX_BYTES = 64 * 1024
    }
}

/** The three formats of a date in RFC 9110. */
private val HTTP_DATES =
    listOf("EEE, dd MMM yyyy HH:mm:ss 'GMT'", "EEEE, dd-MMM-yy HH:mm:ss 'GMT'", "EEE MMM d HH:mm:ss yyyy")

/** By the clock of the phone. @return `null` if this is not a date of HTTP */
private fun secondsUntil(httpDate: String): Long? = HTTP_DATES.firstNotNullOfOrNull { pattern ->
    val format = SimpleDateFormat(pattern, Locale.US)
    format.timeZone = TimeZone.getTimeZone("GMT")
    format.isLenient = false
    try { format.parse(httpDate) } catch (_: ParseException) { null }
}?.let { date -> ceil((date.time - System.currentTimeMillis()) / 1_000.0).toLong() }

/** @return [url] without slashes at its end */
internal fun baseUrl(name: String, url: String): String {
    val parsed = try { URL(url) } catch (_: MalformedURLException) { null }
    val isBase = parsed != null && parsed.protocol in setOf("http", "https") && parsed.host.isNotEmpty() &&
        parsed.port <= 65_535 && url.none { it <= ' ' || it in "?#" }
    require(isBase) { "$name must be an http or https URL without a query, such as https://broker.example" }
    return url.trimEnd('/')
}

/** @return `null` if there are more than [limit] bytes */
private fun InputStream.readAtMost(limit: Int): String? {
    val bytes = ByteArrayOutputStream()
    val buffer = ByteArray(8 * 1024)
    while (true) {
        val count = read(buffer)
        if (count < 0) return bytes.toByteArray().decodeToString()
        if (bytes.size() + count > limit) return null
        bytes.write(buffer, 0, count)
    }
}
