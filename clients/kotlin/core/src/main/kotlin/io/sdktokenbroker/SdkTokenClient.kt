package io.sdktokenbroker

import java.net.URLEncoder
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*

/**
 * Gets the SDK's token from the broker. It knows nothing of the vendor's SDK. Keep one instance: two with the same
 * storage overwrite each other's value.
 *
 * You may call every function on the main thread: storage, network and your [SessionSource] are used on background
 * threads only. Calls take effect in the order in which you make them, also if you do not wait for the first one.
 *
 * @param brokerUrl an http or https URL, such as `https://broker.example`
 * @param uniqueId names the phone: 1 to 128 visible ASCII characters, and not `.` or `..` alone. It is always the same
 *   while the app is installed
 * @param app the app, for example `android`, if the broker knows several and the session names none
 * @param regRegion ISO 3166-1 alpha-2, if neither the session nor the broker's settings name the account's country
 * @param totalDeadline for one call, with all its waits and attempts: at most 10 minutes
 * @param attemptTimeout for one request, from connect to the last byte: at most 10 minutes
 * @param transport sends the requests, for example with the OkHttp client of your app
 * @param sessionHeaders for an app whose session is a cookie or another header
 * @throws IllegalArgumentException for an address, a name or a time limit that cannot work
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
    transport: Transport = UrlConnectionTransport(),
    sessionHeaders: SessionHeaders = SessionHeaders.BEARER,
) : TokenClient {
    internal val requests =
        SessionRequests(Sessions(sessions), totalDeadline, attemptTimeout, transport, sessionHeaders)
    private val logoutUrl =
        "${baseUrl("brokerUrl", brokerUrl)}/sdk-token?uniqueId=${uniqueId.encoded()}${parameter("app", app)}"
    private val tokenUrl = logoutUrl + parameter("regRegion", regRegion)
    private val scope = CoroutineScope(SupervisorJob() + clientThreads)
    @OptIn(ExperimentalCoroutinesApi::class) // Stable since kotlinx-coroutines 1.9.
    private val order = Dispatchers.IO.limitedParallelism(1)

    /** From the first call for a user until the logout, or the first call for another one. */
    private class Login(val userId: String?) {
        var fetch: Deferred<Result<SdkToken>>? = null
        /** The last session that the broker has accepted. */
        var lastSession: String? = null
    }

    // Only steps of `inOrder` change these two.
    @Volatile private var login = Login(null)
    @Volatile private var lastLogout: Deferred<Boolean>? = null

    init {
        val isName = uniqueId.length in 1..128 && uniqueId.all { it in '!'..'~' } && uniqueId !in listOf(".", "..")
        require(isName) { "uniqueId must be 1 to 128 visible ASCII characters, and not . or .. alone" }
    }

    override suspend fun sdkToken(userId: String): SdkToken {
        var (login, fetch) = inOrder { begin(userId).let { it to fetch(it) } }
        while (true) {
            val token = try {
                fetch.await()
            } catch (error: CancellationException) {
                currentCoroutineContext().ensureActive()
                null
            }
            if (login !== this.login) throw BrokerError.loggedOut()
            if (token != null) return token.getOrThrow()
            // A refusal or a token of the app has ended the fetch.
            fetch = inOrder { if (login === this.login) fetch(login) else throw BrokerError.loggedOut() }
        }
    }

    override suspend fun tokenWasRefused() = inOrder {
        stored()?.takeUnless { it.refused }?.let {
            store(it.copy(refused = true, handedIn = false))
            endFetch()
        }
        Unit
    }

    override suspend fun useToken(userId: String, json: String?, etag: String?) = inOrder {
        begin(userId)
        endFetch()
        val token = json?.let(::jsonObject)?.let(SdkToken::of) ?: throw BrokerError.unexpectedAnswer()
        store(StoredToken(userId, token, etag, handedIn = true))
    }

    override suspend fun logout(): Boolean {
        val (answer, removed) = inOrder {
            val (before, session) = lastLogout to login.lastSession
            val answer = scope.async { requests.sendOnce(HttpRequest("DELETE", logoutUrl), session).also { before?.join() } }
            lastLogout = answer
            begin(null)
            answer to runCatching { storage.remove(KEY) }
        }
        return answer.await().also { removed.getOrThrow() }
    }

    private fun begin(userId: String?): Login {
        if (login.userId != userId) {
            endFetch()
            login = Login(userId)
        }
        return login
    }

    private fun endFetch() {
        login.fetch?.cancel()
        login.fetch = null
    }

    private fun fetch(login: Login): Deferred<Result<SdkToken>> =
        login.fetch?.takeIf { it.isActive } ?: scope.async { runCatching { fetchToken(login) } }.also { login.fetch = it }

    private suspend fun fetchToken(login: Login): SdkToken {
        val userId = checkNotNull(login.userId)
        handedInToken(userId)?.let { return it }
        val deadline = requests.deadline()
        // It would delete the new token.
        withTimeoutOrNull(-deadline.elapsedNow()) { lastLogout?.join() ?: Unit } ?: throw BrokerError.timeout()
        while (true) {
            val known = inFetch { stored() }
            val report = known?.takeIf { it.refused }?.tag
            val condition = known?.etag.takeIf { report == null }?.let { mapOf("If-None-Match" to it) }.orEmpty()
            val request = HttpRequest("GET", tokenUrl + parameter("refused", report), condition)
            var received: StoredToken? = null
            val answer = requests.send(request, deadline) { answer ->
                received = when (answer.status) {
                    200 -> answer.json?.let(SdkToken::of)?.let { StoredToken(userId, it, answer.etag) }
                    304 -> known.takeIf { condition.isNotEmpty() }
                    else -> null
                }
                received != null
            }
            val next = checkNotNull(received)
            // A refused token without an ETag cannot be reported. If the answer is this token again, it has one now.
            val isRefused = known?.refused == true && report == null && next.token == known.token && next.tag != null
            // After a logout, an answer must not restore the token.
            inFetch {
                login.lastSession = answer.session
                store(next.copy(refused = isRefused))
            }
            if (!isRefused) return next.token
        }
    }

    private suspend fun handedInToken(userId: String): SdkToken? = inFetch {
        val known = stored()
        if (known != null && known.userId != userId) storage.remove(KEY)
        val handedIn = known?.takeIf { it.userId == userId && it.handedIn } ?: return@inFetch null
        store(handedIn.copy(handedIn = false))
        handedIn.token.takeUnless { it.isExpired() }
    }

    /** Runs [step] on a background thread, after the steps of all earlier calls, also if the caller is cancelled. */
    private suspend fun <T> inOrder(step: () -> T): T = withContext(NonCancellable + order) { step() }

    /** A step of a fetch. It does nothing once the fetch has been ended. */
    private suspend fun <T> inFetch(step: () -> T): T {
        val context = currentCoroutineContext()
        return inOrder {
            context.ensureActive()
            step()
        }
    }

    /** A value that is damaged counts as none. */
    private fun stored(): StoredToken? = StoredToken.of(storage.get(KEY))

    private fun store(token: StoredToken) = storage.put(KEY, token.toText())

    private companion object {
        /** One value, so that a process that dies leaves no half of it. */
        const val KEY = "sdk-token"
        fun parameter(name: String, value: String?) = if (value == null) "" else "&$name=${value.encoded()}"
    }
}

internal fun String.encoded(): String = URLEncoder.encode(this, "UTF-8")
