package io.sdktokenbroker

import java.util.concurrent.CopyOnWriteArraySet
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import kotlinx.coroutines.sync.*

/** Tells the app about the SDK's account. [SdkLogin] calls these functions in its scope. */
interface AccountListener {
    /** Another phone has logged in. Say so, and log in again only if the user wants it. */
    fun onKickedOut()
    /** The SDK's token had expired, and [SdkLogin.login] failed. */
    fun onLoginFailed(error: Exception)
}

/** The vendor's SDK, as the adapter in your app presents it. */
interface VendorSdk {
    /** @throws SdkFailure */
    suspend fun login(hostUserId: String)
    /** @throws SdkFailure */
    suspend fun logout()
    fun isLoggedIn(): Boolean
}

/** The SDK failed for a reason of its own, which is the cause. */
class SdkFailure(cause: Throwable) : Exception("The SDK failed: ${cause.message}", cause)

/**
 * Logs the vendor's SDK in and out, and does what its account events need. The adapter in your app connects it with
 * the SDK. You may call all functions on the main thread.
 *
 * @param scope lives as long as the app
 * @param expirySettles how long the SDK gets to renew an expired token by itself
 * @param sdkTimeout how long a login waits for an earlier call of the SDK
 */
class SdkLogin(
    private val client: TokenClient,
    private val sdk: VendorSdk,
    private val listener: AccountListener,
    private val scope: CoroutineScope,
    private val expirySettles: Duration = 5.seconds,
    private val sdkTimeout: Duration = 30.seconds,
) {
    /** It ends when another account logs in, at a logout, or when the account is kicked out. */
    private class Login(val hostUserId: String?)

    /** One call of [login] in the SDK, with its second try. */
    private class SdkCall(val login: Login) {
        /** Completed when the SDK has answered, or when the next login has waited long enough. */
        val isOver = Job()
        /** The result for callers of [login] that wait for this call. If it is `null`, the next of them calls the SDK. */
        @Volatile var result: Result<Unit>? = null
        /** The answer to the SDK's last question for a token. */
        @Volatile var lastToken: Result<SdkToken>? = null
    }

    /** Without an account since a logout, or since the account was kicked out: nothing logs in without the user. */
    @Volatile private var current = Login(null)
    /** The last one that has begun in the SDK. */
    @Volatile private var sdkCall = SdkCall(current).apply { isOver.complete() }
    /** The SDK's logouts that a login has not waited for: one that ends after that login would undo it. */
    private val sdkLogouts = CopyOnWriteArraySet<Job>()
    /** Held by the login that is the next to call the SDK. */
    private val nextInSdk = Mutex()

    /**
     * For the SDK's question for a token. Throws [BrokerError]. After a logout, the SDK gets no token.
     *
     * The SDK does not say which login its question belongs to. It counts as one of the last login that began in the
     * SDK, and a login begins there only after the call for the one before has returned, or after the wait of [login].
     * So a login that is over gets no token, unless the SDK asks for it after that, during another login.
     */
    suspend fun token(): SdkToken {
        val call = sdkCall
        val answer = attempt {
            ensureCurrent(call.login)
            client.sdkToken(call.login.hostUserId ?: throw BrokerError.loggedOut()).also { ensureCurrent(call.login) }
        }
        call.lastToken = answer
        return answer.getOrThrow()
    }

    /**
     * Logs the SDK in: call it after your own login, and at each start of the app. Before another account logs in, call
     * [logout]. If the login fails although the SDK has just got a token, the token counts as refused, and the SDK gets
     * one more try with another.
     *
     * If an earlier login or logout still runs in the SDK, this one waits for its end, for `sdkTimeout` at most. Two logins of the same account then have the same result. After a [logout],
     * or if another account logs in, the earlier login has no second try, and its questions in [token] end with
     * `logged_out`. So does the earlier login itself, as soon as the SDK answers it. If the SDK has logged in then, it
     * is logged out again. A login for which the next one has waited long enough ends in the same way, but the SDK
     * stays logged in.
     * @param hostUserId your own id of the account, always the same for one account
     * @throws Exception why there was no token, for example a [BrokerError], or else [SdkFailure]
     */
    suspend fun login(hostUserId: String) = logIn(present(hostUserId))

    /** Before the first wait of [login], so that a later logout() or login() is not undone. */
    @Synchronized
    private fun present(hostUserId: String) =
        current.takeIf { it.hostUserId == hostUserId } ?: Login(hostUserId).also { current = it }

    private suspend fun logIn(login: Login) {
        // The result of a call that is over by now is not one for this login.
        val over = sdkCall.takeIf { it.isOver.isCompleted }
        val call = nextInSdk.withLock {
            val before = sdkCall
            // A logout that begins later ends this login.
            val logouts = sdkLogouts.toSet()
            withTimeoutOrNull(sdkTimeout) {
                before.isOver.join()
                logouts.joinAll()
            } ?: before.isOver.complete()
            sdkLogouts -= logouts
            ensureCurrent(login)
            // However often the user taps, a broker or an SDK that fails is asked once.
            if (before !== over && before.login === login) before.result?.let { return it.getOrThrow() }
            SdkCall(login).also { sdkCall = it }
        }
        try {
            call.result = attempt { logIn(call) }
        } finally {
            call.isOver.complete()
        }
        call.result?.getOrThrow()
    }

    private suspend fun logIn(call: SdkCall) {
        var failure = failureOfSdk(call) ?: return
        if (call.lastToken?.isSuccess == true) {
            client.tokenWasRefused()
            failure = failureOfSdk(call) ?: return
        }
        throw call.lastToken?.exceptionOrNull() ?: failure
    }

    /** @return `null` if the SDK is logged in */
    private suspend fun failureOfSdk(call: SdkCall): Throwable? {
        val answer = ofSdk { sdk.login(checkNotNull(call.login.hostUserId)) }
        // After a later call for a login, the SDK may be logged in by that one, and stays so.
        if (call !== sdkCall) throw BrokerError.loggedOut()
        // The SDK may have ended the logout before this login, and is logged in now.
        val isLogoutUndone = answer.isSuccess && call.login !== current
        if (isLogoutUndone) withContext(NonCancellable) { logOutOfSdk().await() }
        ensureCurrent(call.login)
        return answer.exceptionOrNull()
    }

    /** Every error of the SDK becomes a [SdkFailure]. */
    private suspend fun ofSdk(call: suspend () -> Unit): Result<Unit> =
        attempt(call).recoverCatching { throw it as? SdkFailure ?: SdkFailure(it) }

    private fun ensureCurrent(login: Login) {
        if (login !== current) throw BrokerError.loggedOut()
    }

    /**
     * Logs out of the SDK and of the broker. Call it before your own logout, while the session is still good. If the
     * caller is cancelled, the logout continues.
     * @return whether the broker confirmed its part, see [TokenClient.logout]
     * @throws Exception [SdkFailure], or else what the client throws
     */
    suspend fun logout(): Boolean {
        // On the dispatcher of the caller, but with a job of its own.
        val detached = CoroutineScope(currentCoroutineContext() + SupervisorJob())
        val (ofSdk, ofBroker) = endLogin {
            // Undispatched for the same reason as below.
            detached.logOutOfSdk() to detached.async(start = CoroutineStart.UNDISPATCHED) { attempt { client.logout() } }
        }
        ofSdk.start()
        val isConfirmed = ofBroker.await()
        ofSdk.await().getOrThrow()
        return isConfirmed.getOrThrow()
    }

    /** In one step for a [login] on another thread: that login is ended, or it comes after all that [begin] does. */
    @Synchronized
    private fun <T> endLogin(begin: () -> T): T {
        current = Login(null)
        return begin()
    }

    /** Lazy, so that no code of the SDK runs in [endLogin]. */
    private fun CoroutineScope.logOutOfSdk() =
        async(start = CoroutineStart.LAZY) { ofSdk { sdk.logout() } }.also { sdkLogouts += it }

    /** The account has logged in on another phone. */
    fun onKickedOut() {
        val (refusal, logout) = endLogin {
            // Undispatched, so that the refusal takes its place in the order of the client's calls now. The storage of
            // the app may throw.
            scope.async(start = CoroutineStart.UNDISPATCHED) { attempt { client.tokenWasRefused() } } to
                // Not from the broker: with TERMINAL_POLICY=single, that would take the token from the other phone.
                scope.logOutOfSdk()
        }
        // Dispatched: the undispatched part may run to its end on the thread of the caller.
        scope.launch {
            refusal.await()
            // It can fail, because the SDK may have logged out by itself.
            logout.await()
            listener.onKickedOut()
        }
    }

    /**
     * The vendor's documents contradict each other about an expired token: the SDK renews it by itself, or it logs out.
     * In the first case there is nothing to do. In the second, the SDK has to log in again.
     */
    fun onTokenExpired() {
        scope.launch(start = CoroutineStart.UNDISPATCHED) {
            attempt { client.tokenWasRefused() }
            delay(expirySettles)
            val login = current
            if (login.hostUserId == null || sdk.isLoggedIn()) return@launch
            attempt { logIn(login) }.onFailure { listener.onLoginFailed(it as Exception) }
        }
    }

    /** Passes on the cancellation of the caller, and errors of the virtual machine. */
    private suspend fun <T> attempt(block: suspend () -> T): Result<T> = runCatching { block() }.onFailure {
        currentCoroutineContext().ensureActive()
        if (it is Error) throw it
    }
}
