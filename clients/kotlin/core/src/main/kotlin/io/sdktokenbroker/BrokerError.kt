package io.sdktokenbroker

/**
 * A request that failed. It contains no session and no token, so that it may appear in a log. Its `cause` can be an
 * exception of your own [SessionSource].
 * @property code the broker's code, such as `account_disabled`, or one of the constants of this class
 * @property status of HTTP; 0: there was no answer
 * @property requestId names the request in the broker's log
 * @property retryable whether the same request may succeed later
 * @property retryAfter seconds after which a retry makes sense
 */
class BrokerError @JvmOverloads constructor(
    val kind: Kind,
    val code: String,
    val status: Int = 0,
    val requestId: String? = null,
    val retryable: Boolean = false,
    val retryAfter: Long? = null,
    detail: String? = null,
    cause: Throwable? = null,
) : Exception(listOfNotNull(code, detail, requestId?.let { "request $it" }).joinToString(", "), cause) {

    enum class Kind {
        /** The session has ended, also after one renewal, or the app has none: the user has to log in to your cloud. */
        SESSION_NEEDED,
        /** The user logged out, or another user logged in, while the request was running: show no error. */
        LOGGED_OUT,
        /** HTTP 403, for example `terminal_limit`: tell the user. */
        FORBIDDEN,
        RATE_LIMITED,
        /** The vendor refused the login, or did not answer. */
        VENDOR_TROUBLE,
        /** The broker cannot answer at this moment. */
        TEMPORARY,
        /** A mistake in the app or in its settings. */
        INVALID_REQUEST,
        /** There was no answer. Whatever exception the transport or [SessionHeaders] threw is the `cause`. */
        NETWORK,
        /** Something else answered, for example the login page of a public Wi-Fi. */
        UNEXPECTED_ANSWER,
    }

    companion object {
        const val NETWORK_UNAVAILABLE = "network_unavailable"
        const val NETWORK_TIMEOUT = "network_timeout"
        const val UNEXPECTED_ANSWER = "unexpected_answer"
        /** Your [SessionSource] has no session (`SESSION_NEEDED`), or has thrown an exception (`TEMPORARY`). */
        const val SESSION_UNAVAILABLE = "session_unavailable"
        const val LOGGED_OUT = "logged_out"

        internal fun noAnswer(cause: Exception) =
            BrokerError(Kind.NETWORK, NETWORK_UNAVAILABLE, retryable = true, cause = cause)

        internal fun timeout(cause: Exception? = null) =
            BrokerError(Kind.NETWORK, NETWORK_TIMEOUT, retryable = true, cause = cause)

        internal fun loggedOut() = BrokerError(Kind.LOGGED_OUT, LOGGED_OUT)

        internal fun unexpectedAnswer() = BrokerError(Kind.UNEXPECTED_ANSWER, UNEXPECTED_ANSWER)

        /** The error that an answer stands for, if it is not what the caller expects. */
        internal fun of(answer: HttpAnswer): BrokerError {
            val status = answer.status
            val problem = answer.json?.takeIf { status >= 400 && it.text("code") != null }
            // A gateway's own 401 has no code.
            val code = problem?.text("code") ?: if (status == 401) "session_invalid" else UNEXPECTED_ANSWER
            // By status, so that a code of a later broker has a kind, too.
            val kind = when {
                status == 401 -> Kind.SESSION_NEEDED
                problem == null -> Kind.UNEXPECTED_ANSWER
                code.startsWith("vendor_") -> Kind.VENDOR_TROUBLE
                status == 403 -> Kind.FORBIDDEN
                status == 429 -> Kind.RATE_LIMITED
                status < 500 -> Kind.INVALID_REQUEST
                else -> Kind.TEMPORARY
            }
            // A load balancer that reaches no replica answers with one of these statuses, and without a code.
            val retryable = problem?.optBoolean("retryable") ?: (status in setOf(429, 502, 503, 504))
            // The sentence of a gateway about the headers may repeat the session. The broker's never does.
            val detail = problem?.text("detail")?.takeUnless { answer.session in it }
            return BrokerError(kind, code, status, problem?.text("requestId"), retryable, answer.retryAfter, detail)
        }
    }
}
