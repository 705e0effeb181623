package io.sdktokenbroker

import io.sdktokenbroker.BrokerError.Kind
import java.net.URLEncoder
import kotlin.time.*
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import kotlinx.coroutines.sync.*
import org.json.JSONObject

/**
 * Gets the SDK's token from the broker. It knows nothing of the vendor's SDK. Create one for the whole app: two clients
 * with the same storage overwrite each other's values.
 *
 * @param brokerUrl such as `https://broker.example`
 * @param uniqueId names the phone: 1 to 128 visible ASCII characters, always the same while the app is installed
 * @param app the app, for example `android`, where the broker knows several and the session names none
 * @param regRegion ISO 3166-1 alpha-2, where neither the session nor the broker's settings name the account's country
 * @param totalDeadline for one call, with all its waits and attempts
 * @param attemptTimeout for one request, from connect to the last byte
 * @param openConnection for an app that pins certificates, needs a proxy, or sends its session in a cookie
 */
class SdkTokenClient(
    brokerUrl: String,
    uniqueId: String,
    sessions: SessionSource,
    private val storage: TokenStorage,
    app: String? = null,
    regRegion: String? = null,
    totalDeadline: Duration = 30.seconds,
    attemptTimeout: Duration = 10.seconds,
    openConnection: OpenConnection = ::bearerConnection,
) {
    private val sessions = AppSessions(sessions, totalDeadline)
    private val requests = SessionRequests(totalDeadline, attemptTimeout, openConnection)
    private val logoutUrl = "${brokerUrl.trimEnd('/')}/sdk-token?uniqueId=${uniqueId.encoded()}${parameter("app", app)}"
    private val tokenUrl = logoutUrl + parameter("regRegion", regRegion)
    private val shared = SharedRequest(::fetch)
    private val logouts = Mutex()
    /** Guards the storage. */
    private val lock = Any()

    /**
     * The token for the SDK. Callers at the same time share one request. A logout that is still stored is finished
     * first: later, it would delete the new token. Throws [BrokerError].
     */
    suspend fun sdkToken(): SdkToken = takeHandedIn() ?: shared.await()

    /**
     * Call it when the vendor no longer accepts the SDK's token. The next [sdkToken] tells the broker, and returns
     * another token. The storage remembers the call until the broker has answered.
     */
    fun tokenWasRefused() = synchronized(lock) {
        stored()?.let { store(it.copy(refused = true, handedIn = false)) }
        // A request that has not seen the mark must not answer later callers.
        shared.detach()
    }

    /**
     * Names the user whose tokens the client gets from now on. It deletes the stored token of another user, and ends
     * that user's requests with `logged_out`. It does not log that user out: call [logout] before.
     * @param userId your own id of the account, always the same for one account
     */
    fun switchUser(userId: String) = synchronized(lock) {
        if (storage.get(USER_KEY) != userId) {
            forget()
            storage.put(USER_KEY, userId)
        }
    }

    /**
     * Takes the token that your own login response contained. The next [sdkToken] returns it without a request. A
     * stored logout of the same account is dropped: the user is back, and the logout would delete this token.
     * @param userId as in [switchUser], which this function calls
     * @param json the body that the broker gave to your cloud
     * @param etag the header `ETag` of that answer
     * @throws IllegalArgumentException if it is not a token
     */
    fun useToken(userId: String, json: String, etag: String? = null) {
        val token = requireNotNull(jsonObject(json)?.let(SdkToken::of)) { "This is not the body of a token" }
        synchronized(lock) {
            switchUser(userId)
            editLogouts { all -> all.filterValues { it != token.accessId && it != UNKNOWN_ACCOUNT } }
            store(StoredToken(token, etag, handedIn = true))
        }
    }

    /**
     * Forgets the token here and at the broker. Call it while the session is still good, and always before another
     * account signs in. The client stores the logout first, with the session, and tries once. If the broker does not
     * answer now, [finishLogout] repeats it. If your [SessionSource] throws, or does not answer within the deadline, the
     * client uses the last session that it got since the app started. If the caller is cancelled, the logout is stored,
     * and the broker may not know it yet.
     * @return `false` if it is only stored
     * @throws BrokerError if the logout is refused, for example because the session has ended, or if there is no
     * session to log out with. Then nothing is repeated, and the broker keeps the token until it expires
     */
    suspend fun logout(): Boolean {
        // Also if the caller is cancelled: without a session, nothing could be stored.
        val source = runCatching { withContext(NonCancellable) { sessions.current() } }
            .recoverCatching { sessions.last ?: throw it }
        synchronized(lock) {
            val account = stored()?.token?.accessId ?: UNKNOWN_ACCOUNT
            source.onSuccess { session -> editLogouts { mapOf(session to account) + it } }
            forget()
        }
        val failure = sendLogout(source.getOrThrow(), requests.deadline(), repeat = false, mayRenew = true)
        if (failure?.endsLogout() == true) throw failure
        return failure == null
    }

    private fun forget() {
        shared.cancel(BrokerError(Kind.SESSION_NEEDED, BrokerError.LOGGED_OUT))
        storage.remove(TOKEN_KEY)
        sessions.last = null
    }

    /**
     * Repeats the logouts that are still stored, each once. Call it when the app starts, and when the network is back.
     * @return `false` if one is still stored
     */
    suspend fun finishLogout(): Boolean = sendStoredLogouts(requests.deadline(), repeat = false) == null

    /** @return why one is still stored */
    private suspend fun sendStoredLogouts(deadline: TimeMark, repeat: Boolean): BrokerError? =
        editLogouts { it }.keys.firstNotNullOfOrNull { session ->
            sendLogout(session, deadline, repeat, mayRenew = false)?.takeUnless { it.endsLogout() }
        }

    /**
     * One at a time, so that a logout that is under way is over before the next token is fetched.
     * @param repeat only for a fetch, which fails without the logout. At a logout the user should not wait
     * @return why the broker has not done it
     */
    private suspend fun sendLogout(
        session: String, deadline: TimeMark, repeat: Boolean, mayRenew: Boolean,
    ) = logouts.withLock {
        val account = editLogouts { it }[session] ?: return@withLock null
        var latest = session
        val renew = suspend {
            latest = sessions.renewed()
            sessions.last = null
            editLogouts { it - session + (latest to account) }
            latest
        }
        val failure = try {
            // Only 204 is the broker's answer: a page of a public Wi-Fi comes with 200.
            val delete = HttpRequest("DELETE", logoutUrl)
            requests.send(delete, { session }, renew.takeIf { mayRenew }, deadline, repeat) { it.status == 204 }
            null
        } catch (error: BrokerError) {
            error
        }
        if (failure == null || failure.endsLogout()) editLogouts { it - latest }
        failure
    }

    /**
     * Whether this logout will never succeed: the session has ended, or may not do it. Also if something between app
     * and broker refuses it for good, for example a firewall that blocks DELETE: it would stop every later [fetch].
     */
    private fun BrokerError.endsLogout() = status in 400..499 && status != 429 || kind == Kind.SESSION_NEEDED

    private fun takeHandedIn(): SdkToken? = synchronized(lock) {
        val handedIn = stored()?.takeIf { it.handedIn } ?: return null
        store(handedIn.copy(handedIn = false))
        handedIn.token.takeUnless { it.isExpired() }
    }

    private suspend fun fetch(): SdkToken {
        val deadline = requests.deadline()
        sendStoredLogouts(deadline, repeat = true)?.let { throw it }
        while (true) {
            val before = synchronized(lock) { stored() }
            val reports = before?.refused == true && before.etag != null
            val etag = before?.etag?.let { "If-None-Match" to it }
            val headers = listOfNotNull(etag, ("Cache-Control" to "no-cache").takeIf { reports }).toMap()
            val request = HttpRequest("GET", tokenUrl, headers)
            var received: StoredToken? = null
            requests.send(request, sessions::current, sessions::renewed, deadline) { answer ->
                received = when (answer.status) {
                    200 -> answer.json?.let(SdkToken::of)?.let { StoredToken(it, answer.etag) }
                    304 -> before.takeUnless { reports }
                    else -> null
                }
                received != null
            }
            val after = checkNotNull(received)
            val context = currentCoroutineContext()
            synchronized(lock) {
                // After a logout, an answer must not restore the token.
                context.ensureActive()
                val now = stored()
                // Another request may have stored a newer token since. Then this answer may be the refused one.
                if (now?.token == before?.token) {
                    val isRefused = now?.refused == true && now.token == after.token && !reports && after.etag != null
                    store(after.copy(refused = isRefused))
                    if (!isRefused) return after.token
                }
            }
        }
    }

    private fun stored(): StoredToken? = StoredToken.of(storage.get(TOKEN_KEY))

    private fun store(token: StoredToken) = storage.put(TOKEN_KEY, token.toText())

    /** Session and `accessId` of each logout that the broker has not answered. */
    private fun editLogouts(edit: (Map<String, String>) -> Map<String, String>) = synchronized(lock) {
        val json = storage.get(LOGOUTS_KEY)?.let(::jsonObject) ?: JSONObject()
        val before = json.keys().asSequence().associateWith { json.optString(it) }
        val after = edit(before)
        if (after != before) storage.put(LOGOUTS_KEY, JSONObject(after).toString())
        after
    }

    private companion object {
        const val TOKEN_KEY = "sdk-token"
        const val USER_KEY = "sdk-token.user"
        const val LOGOUTS_KEY = "sdk-token.logouts"
        /** The account of a logout without a stored token. */
        const val UNKNOWN_ACCOUNT = ""
        fun parameter(name: String, value: String?) = if (value == null) "" else "&$name=${value.encoded()}"
    }
}

internal fun String.encoded(): String = URLEncoder.encode(this, "UTF-8")
