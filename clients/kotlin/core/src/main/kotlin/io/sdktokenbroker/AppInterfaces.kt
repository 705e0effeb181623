package io.sdktokenbroker

/**
 * The sessions of your own login. The client calls both functions on a background thread. If one throws, the caller of
 * the client gets a [BrokerError] with that exception as its cause: `SESSION_NEEDED` for [NoSession] alone,
 * `network_unavailable` for an `IOException`. Everything else is temporary, and the user stays logged in.
 */
interface SessionSource {
    /** The session of the user who is logged in now. Return the one that you have, without a request. */
    suspend fun session(): String
    /**
     * Another session than [refused], to which the broker answered 401. It may use the network. The client calls it once
     * at a time, for all requests together, and never cancels it: a renewal that ends half-way may lose your refresh
     * token.
     */
    suspend fun renewedSession(refused: String): String
}

/** Throw it from your [SessionSource] if there is no session: the user has to log in to your cloud. */
class NoSession @JvmOverloads constructor(message: String = "There is no session", cause: Throwable? = null) :
    Exception(message, cause)

/**
 * Keeps the token after the end of the process: use encrypted storage. A value must be on disk when [put] returns
 * (`commit()`, not `apply()`). The client calls all functions on a background thread, one at a time.
 */
interface TokenStorage {
    fun get(key: String): String?
    fun put(key: String, value: String)
    fun remove(key: String)
}

/** The functions of [SdkTokenClient]. Your tests can replace it with a class of their own. */
interface TokenClient {
    /**
     * The token for the SDK. Callers at the same time share one request. A caller that is cancelled ends only its own
     * waiting.
     * @param userId your own id of the account that is logged in, always the same for one account. The stored token of
     *   another user is deleted, and the calls for that user end with `logged_out`
     * @throws BrokerError
     * @throws Exception what the storage throws
     */
    suspend fun sdkToken(userId: String): SdkToken

    /**
     * Call it when the vendor refuses the token that the SDK has. The next [sdkToken] tells the broker, and returns
     * another token. The storage keeps the mark until the broker has answered.
     */
    suspend fun tokenWasRefused()

    /**
     * Takes the token of your own login response. The next [sdkToken] of this user returns it without a request.
     * @param userId as in [sdkToken]
     * @param json the body that the broker gave to your cloud
     * @param etag the header `ETag` of that answer
     * @throws BrokerError `unexpected_answer` if [json] is no token
     */
    suspend fun useToken(userId: String, json: String?, etag: String? = null)

    /**
     * Forgets the token at once, and asks the broker once to forget it, with the session that the client used last, or
     * else with that of your [SessionSource]. Call it while the session is good. Nothing is stored for later: your cloud
     * can log the phone out. Earlier calls end with `logged_out`, and the next [sdkToken] waits for this request, for the
     * timeout of an attempt at most. A caller that is cancelled does not stop it.
     * @return whether the broker confirmed it
     * @throws Exception what the storage throws, if it still holds the token. The broker has been asked even so
     */
    suspend fun logout(): Boolean
}
