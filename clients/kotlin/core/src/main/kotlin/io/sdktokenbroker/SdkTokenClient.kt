package io.sdktokenbroker

import java.net.URLEncoder
import java.util.concurrent.ConcurrentHashMap
import kotlin.time.*
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import kotlinx.coroutines.sync.*

/**
 * Gets the SDK's token from the broker. It knows nothing of the vendor's SDK. Create one for the whole app: two clients
 * with the same storage overwrite each other's values.
 *
 * You may call every function on the main thread: storage, network and your [SessionSource] are used on background
 * threads only. Calls take effect in the order in which you make them, also if you do not wait for the first one.
 *
 * @param brokerUrl an http or https URL, such as `https://broker.example`
 * @param uniqueId names the phone: 1 to 128 visible ASCII characters, and not `.` or `..` alone. It is always the same
 *   while the app is installed
 * @param app the app, for example `android`, if the broker knows several and the session names none
 * @param regRegion ISO 3166-1 alpha-2, if neither the session nor the broker's settings name the account's country
 * @param totalDeadline for one call, with all its waits and attempts
 * @param attemptTimeout for one request, from connect to the last byte
 * @param transport sends the requests, for example with the OkHttp client of your app
 * @param sessionHeaders for an app whose session is a cookie or another header
 * @throws IllegalArgumentException if [brokerUrl] or [uniqueId] is not valid
 */
class SdkTokenClient(
    brokerUrl: String,
    uniqueId: String,
    private val sessions: SessionSource,
    private val storage: TokenStorage,
    app: String? = null,
    regRegion: String? = null,
    internal val totalDeadline: Duration = 30.seconds,
    attemptTimeout: Duration = 10.seconds,
    transport: Transport = UrlConnectionTransport(),
    sessionHeaders: SessionHeaders = SessionHeaders.BEARER,
) {
    private val requests = SessionRequests(totalDeadline, attemptTimeout, transport, sessionHeaders)
    private val logoutUrl =
        "${baseUrl("brokerUrl", brokerUrl)}/sdk-token?uniqueId=${uniqueId.encoded()}${parameter("app", app)}"
    private val tokenUrl = logoutUrl + parameter("regRegion", regRegion)
    private val shared = SharedRequest(::fetchOrHandedIn)
    @OptIn(ExperimentalCoroutinesApi::class) // Stable since kotlinx-coroutines 1.9.
    private val order = Dispatchers.IO.limitedParallelism(1)
    private val logoutScope = CoroutineScope(SupervisorJob() + clientThreads)
    private val deletes = ConcurrentHashMap<Account, Mutex>()
    @Volatile private var user = UserSessions(sessions, totalDeadline)
    /** What the storage holds. Only steps of [inOrder] use it, and the two below. */
    private val logouts = StoredLogouts(storage)
    private val leaving = mutableListOf<Leaving>()
    /** The sessions of refused logouts. Another call may still wait to send one of them, and can renew the session. */
    private val refused = mutableMapOf<String, Account>()
    private var otherLogouts: Job? = null

    init {
        val isName = uniqueId.length in 1..128 && uniqueId.all { it in '!'..'~' } && uniqueId !in listOf(".", "..")
        require(isName) { "uniqueId must be 1 to 128 visible ASCII characters, and not . or .. alone" }
    }

    /** A logout that is under way. */
    private class Leaving(val sessions: UserSessions, val account: Account, val job: Job) {
        val last = sessions.last
        var isDropped = false
        /** Whether the storage has given up the token. */
        var forgotten = Result.success(Unit)
    }

    /**
     * The token for the SDK. Callers at the same time share one request. A logout of the same account that is still
     * stored is finished first: later, it would delete the new token. Logouts of other accounts are tried at the same
     * time, and the token does not wait for them. Throws [BrokerError].
     */
    suspend fun sdkToken(): SdkToken = sdkToken(null)

    /** @param userId whose token it has to be; `null`: of the present user. A question of the SDK may be late */
    internal suspend fun sdkToken(userId: String?): SdkToken {
        val caller = shared.Caller()
        try {
            return inOrder {
                if (userId != null && (storage.get(USER_KEY) ?: userId) != userId) throw BrokerError.loggedOut()
                takeHandedIn().also { if (it == null) caller.join() }
            } ?: caller.await()
        } finally {
            caller.leave()
        }
    }

    /**
     * Call it when the vendor no longer accepts the SDK's token. The next [sdkToken] tells the broker, and returns
     * another token. When this function returns, the call is in the storage, until the broker has answered.
     */
    suspend fun tokenWasRefused() = inOrder {
        stored()?.takeUnless { it.refused }?.let {
            store(it.copy(refused = true, handedIn = false))
            // A request that has not seen the mark must not answer later callers.
            shared.detach()
        }
    }

    /**
     * Names the user whose tokens the client gets from now on. It deletes the stored token of another user, and ends
     * that user's requests with `logged_out`. It does not log that user out: call [logout] before.
     * @param userId your own id of the account, always the same for one account
     */
    suspend fun switchUser(userId: String) = switchUser(userId) {}

    /** @param check throws if a later call, on another thread, has overtaken this one */
    internal suspend fun switchUser(userId: String, check: () -> Unit) = inOrder {
        check()
        switchTo(userId)
    }

    /**
     * Takes the token that your own login response contained. The next [sdkToken] returns it without a request. A
     * logout of the same account that is stored or waits for a session is dropped: it would delete this token.
     * @param userId as in [switchUser], which this function calls
     * @param json the body that the broker gave to your cloud
     * @param etag the header `ETag` of that answer
     * @throws IllegalArgumentException if [json] is not a token. The user is then switched all the same
     */
    suspend fun useToken(userId: String, json: String?, etag: String? = null) {
        val parsed = json?.let(::jsonObject)?.let(SdkToken::of)
        inOrder {
            switchTo(userId)
            val token = requireNotNull(parsed) { "This is not the body of a token" }
            val account = Account(userId, token.accessId)
            logouts.edit { all -> all.filterValues { !account.isSameAs(it) } }
            leaving.filter { account.isSameAs(it.account) }.forEach { it.isDropped = true }
            refused.values.removeAll { account.isSameAs(it) }
            store(StoredToken(token, etag, handedIn = true))
        }
    }

    /**
     * Logs out the user of this moment: forgets the token here and at the broker. Call it while the session is still
     * good, and always before another account signs in.
     *
     * The client deletes the token at once, and stores the logout together with the last session that it used since
     * the app started. Then it asks your [SessionSource] for the present session, and tries once. If the source throws,
     * does not answer within the deadline, or answers after [switchUser] has named another user, the client uses the
     * last session instead. If the broker does not answer now, [finishLogout] repeats the logout. If the caller is
     * cancelled, the logout continues.
     * @return `false` if the broker has not confirmed it. The logout is stored
     * @throws BrokerError if the logout is refused, for example because the session has ended, or if there is no
     * session to log out with. Then nothing is repeated, and the broker keeps the token until it expires
     * @throws Exception what the storage throws, if it still holds the token, or does not hold a logout that has to be
     * repeated. The broker has been asked even so
     */
    suspend fun logout(): Boolean =
        // Undispatched, so that the first step takes its place in the order now.
        logoutScope.async(start = CoroutineStart.UNDISPATCHED) { logOut() }.await()

    private suspend fun logOut(): Boolean {
        val job = currentCoroutineContext().job
        val own = inOrder {
            // An error of the storage is thrown later, once the broker has been asked.
            val account = runCatching { account() }.getOrDefault(Account(null, null))
            Leaving(user, account, job).also { own ->
                own.last?.let { session -> runCatching { logouts.edit { mapOf(session to account) + it } } }
                user = user.afterLogout()
                own.forgotten = runCatching { forget() }
                leaving += own
            }
        }
        try {
            return logOut(own).also { own.forgotten.getOrThrow() }
        } finally {
            inOrder { leaving -= own }
        }
    }

    private suspend fun logOut(own: Leaving): Boolean {
        val answer = runCatching { own.sessions.current() }
        val session = inOrder {
            // The same user may have logged in again, or another call may have finished this logout.
            val isOver = own.isDropped || own.last != null && own.last !in logouts && own.last !in refused
            if (isOver) return@inOrder null
            val latest = answer.getOrNull()?.takeIf { own.sessions.isPresent }
                ?: return@inOrder own.last ?: throw answer.exceptionOrNull() ?: BrokerError.loggedOut()
            runCatching { logouts.edit { mapOf(latest to own.account) + (it - setOfNotNull(own.last)) } }
            latest
        } ?: return true
        val failure = sendLogout(session, own.account, requests.deadline(), repeat = false, renewWith = own.sessions)
        if (failure?.endsLogout() == true) throw failure
        // Throws if the storage does not hold the logout that has to be repeated.
        if (failure != null) inOrder { logouts.edit { it } }
        return failure == null
    }

    /**
     * Repeats the logouts that are still stored, each once. Call it when the app starts, and when the network is back.
     * @return `false` if one is still stored
     */
    suspend fun finishLogout(): Boolean = sendStoredLogouts(requests.deadline(), repeat = false) { true } == null

    /**
     * At the same time, so that one without an answer does not use up the time of those of other accounts.
     * @return why one of them is still stored
     */
    private suspend fun sendStoredLogouts(deadline: TimeMark, repeat: Boolean, of: (Account) -> Boolean): BrokerError? =
        coroutineScope {
            inOrder { logouts.all() }.filterValues(of).map { (session, account) ->
                async { sendLogout(session, account, deadline, repeat, renewWith = null)?.takeUnless { it.endsLogout() } }
            }.awaitAll().firstNotNullOfOrNull { it }
        }

    /**
     * One at a time for an account, so that a logout that is under way is over before its next token is fetched.
     * @param repeat only for a fetch, which fails without the logout. At a logout the user should not wait
     * @return why the broker has not done it
     */
    private suspend fun sendLogout(
        session: String, account: Account, deadline: TimeMark, repeat: Boolean, renewWith: UserSessions?,
    ) = deletes.getOrPut(account) { Mutex() }.withLock {
        val isOver = inOrder {
            if (renewWith != null && refused.remove(session) != null) {
                runCatching { logouts.edit { it + (session to account) } }
            }
            session !in logouts
        }
        if (isOver) return@withLock null
        var latest = session
        suspend fun renew(leaving: UserSessions): String {
            val renewed = leaving.renewed()
            inOrder {
                if (!leaving.isPresent) throw BrokerError.loggedOut()
                runCatching { logouts.edit { it - session + (renewed to account) } }
            }
            latest = renewed
            return renewed
        }
        val failure = try {
            // Only 204 is the broker's answer: a page of a public Wi-Fi comes with 200.
            val delete = HttpRequest("DELETE", logoutUrl)
            val renew = renewWith?.let { suspend { renew(it) } }
            requests.send(delete, { session }, renew, deadline, repeat) { it.status == 204 }
            null
        } catch (error: BrokerError) {
            error
        }
        if (failure == null || failure.endsLogout()) inOrder {
            if (failure != null) refused[latest] = account
            logouts.edit { it - latest }
        }
        failure
    }

    /**
     * Whether this logout will never succeed: the session has ended, or may not do it. Also if something between app
     * and broker refuses it for good, for example a firewall that blocks DELETE: no later [fetch] of the account would
     * get a token.
     */
    private fun BrokerError.endsLogout() = status in 400..499 && status != 429 || kind == BrokerError.Kind.SESSION_NEEDED

    private fun takeHandedIn(): SdkToken? {
        val handedIn = stored()?.takeIf { it.handedIn } ?: return null
        store(handedIn.copy(handedIn = false))
        return handedIn.token.takeUnless { it.isExpired() }
    }

    /** The app may hand in a token while a request waits and then fails. */
    private suspend fun fetchOrHandedIn(): SdkToken = try {
        fetch()
    } catch (error: BrokerError) {
        val context = currentCoroutineContext()
        inOrder {
            // Not after a logout: the token may be another user's.
            context.ensureActive()
            takeHandedIn()
        } ?: throw error
    }

    private suspend fun fetch(): SdkToken {
        val user = user
        val deadline = requests.deadline()
        finishLogoutsBefore(deadline)
        while (true) {
            val before = inOrder { stored() }
            val report = before?.takeIf { it.refused }?.tag
            val condition = before?.etag.takeIf { report == null }?.let { mapOf("If-None-Match" to it) }.orEmpty()
            val request = HttpRequest("GET", tokenUrl + parameter("refused", report), condition)
            var received: StoredToken? = null
            requests.send(request, user::current, user::renewed, deadline) { answer ->
                received = when (answer.status) {
                    200 -> answer.json?.let(SdkToken::of)?.let { StoredToken(it, answer.etag) }
                    304 -> before.takeIf { report == null }
                    else -> null
                }
                received != null
            }
            val after = checkNotNull(received)
            val context = currentCoroutineContext()
            inOrder {
                // After a logout, an answer must not restore the token.
                context.ensureActive()
                val now = stored()
                // Another request may have stored a newer token since. Then this answer may be the refused one.
                if (now?.token != before?.token) return@inOrder null
                val isRefused = now?.refused == true && now.token == after.token && report == null && after.tag != null
                store(after.copy(refused = isRefused))
                after.token.takeUnless { isRefused }
            }?.let { return it }
        }
    }

    /** A logout of the present account that reaches the broker later would delete the new token. */
    private suspend fun finishLogoutsBefore(deadline: TimeMark) {
        val account = inOrder { account().also(::tryOtherLogouts) }
        val underWay = inOrder { leaving.filter { it.account.mayBeSameAs(account) }.map { it.job } }
        withTimeoutOrNull(totalDeadline) { underWay.joinAll() } ?: throw BrokerError.timeout()
        sendStoredLogouts(deadline, repeat = true) { it.mayBeSameAs(account) }?.let { throw it }
    }

    /** The fetch does not wait for the logouts of other accounts. One try at a time, however many tokens are fetched. */
    private fun tryOtherLogouts(account: Account) {
        if (otherLogouts?.isActive == true) return
        // `async`, because with `launch`, an exception of the storage would end the app.
        otherLogouts = logoutScope.async {
            sendStoredLogouts(requests.deadline(), repeat = false) { !it.mayBeSameAs(account) }
        }
    }

    /** Runs [step] on a background thread, after the steps of all earlier calls, also if the caller is cancelled. */
    private suspend fun <T> inOrder(step: () -> T): T = withContext(NonCancellable + order) { step() }

    private fun switchTo(userId: String) {
        if (storage.get(USER_KEY) == userId) return
        user.end()
        user = UserSessions(sessions, totalDeadline)
        forget()
        storage.put(USER_KEY, userId)
    }

    private fun forget() {
        shared.cancel(BrokerError.loggedOut())
        storage.remove(TOKEN_KEY)
    }

    private fun account() = Account(storage.get(USER_KEY), stored()?.token?.accessId)

    private fun stored(): StoredToken? = StoredToken.of(storage.get(TOKEN_KEY))

    private fun store(token: StoredToken) = storage.put(TOKEN_KEY, token.toText())

    private companion object {
        const val TOKEN_KEY = "sdk-token"
        const val USER_KEY = "sdk-token.user"
        fun parameter(name: String, value: String?) = if (value == null) "" else "&$name=${value.encoded()}"
    }
}

internal fun String.encoded(): String = URLEncoder.encode(this, "UTF-8")
