package io.sdktokenbroker.java

import io.sdktokenbroker.*
import java.util.concurrent.Executor
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.*

/** The result of a call. One of the methods is called once, on the executor of the client, unless the call is cancelled. */
interface Callback<T> {
    fun onSuccess(result: T)
    /** @param error a [BrokerError], for calls of the SDK an [SdkFailure], or what your [TokenStorage] throws */
    fun onFailure(error: Exception)
}

/** A call that is under way. */
fun interface Cancellable {
    /** Ends the call. If you call it on the thread of the callback, the callback is not called any more. */
    fun cancel()
}

/**
 * [SdkTokenClient] for Java: callbacks in place of coroutines. You may call all methods on the main thread. Calls take
 * effect in the order in which you make them, also if you do not wait for a callback. A call without a callback drops
 * its exception. An [Error], for example of your [SessionSource], goes to the uncaught exception handler.
 */
class CallbackTokenClient private constructor(private val client: SdkTokenClient, callbackExecutor: Executor) {
    private val callbacks = callbackExecutor.asCoroutineDispatcher()
    private val scope = CoroutineScope(SupervisorJob() + clientThreads)

    /** See [SdkTokenClient.sdkToken]. */
    fun sdkToken(callback: Callback<SdkToken>): Cancellable = start(callback) { client.sdkToken() }

    /** See [SdkTokenClient.tokenWasRefused]. */
    @JvmOverloads
    fun tokenWasRefused(callback: Callback<Void?>? = null): Cancellable =
        start(callback) { client.tokenWasRefused().let { null } }

    /** See [SdkTokenClient.switchUser]. */
    @JvmOverloads
    fun switchUser(userId: String, callback: Callback<Void?>? = null): Cancellable =
        start(callback) { client.switchUser(userId).let { null } }

    /** See [SdkTokenClient.useToken]. [json] that is not a token is an `IllegalArgumentException` for the callback. */
    @JvmOverloads
    fun useToken(userId: String, json: String?, etag: String?, callback: Callback<Void?>? = null): Cancellable =
        start(callback) { client.useToken(userId, json, etag).let { null } }

    /** See [SdkTokenClient.logout]. The result is `false` if the logout is only stored. */
    fun logout(callback: Callback<Boolean>): Cancellable = start(callback) { client.logout() }

    /** See [SdkTokenClient.finishLogout]. The result is `false` if a logout is still stored. */
    @JvmOverloads
    fun finishLogout(callback: Callback<Boolean>? = null): Cancellable = start(callback) { client.finishLogout() }

    /** For the adapter in Java, which is in the app. [listener] is called on the executor of this client. */
    fun sdkLogin(sdk: VendorSdk, listener: AccountListener) =
        SdkLogin(client, sdk, listener, CoroutineScope(SupervisorJob() + callbacks))

    /** For the adapter in Java: calls a `suspend` function of Kotlin. */
    fun <T, R> call(callback: Callback<R>?, function: SuspendFunction<T>, map: Mapping<T, R>): Cancellable =
        start(callback) { map.map(function.await()) }

    private fun <T> start(callback: Callback<T>?, function: suspend () -> T): Cancellable {
        // Undispatched, so that the call takes its place in the order of the client's calls now.
        val job = scope.launch(start = CoroutineStart.UNDISPATCHED) {
            val result = runCatching { function() }
            ensureActive()
            result.onFailure { if (it !is Exception) throw it }
            if (callback == null) return@launch
            withContext(callbacks) { result.onSuccess(callback::onSuccess).onFailure { callback.onFailure(it as Exception) } }
        }
        return Cancellable(job::cancel)
    }

    /** See [SdkTokenClient] for the parameters. */
    class Builder(
        private val brokerUrl: String,
        private val uniqueId: String,
        private val sessions: SessionSource,
        private val storage: TokenStorage,
    ) {
        private var app: String? = null
        private var regRegion: String? = null
        private var totalDeadlineMillis = 30_000L
        private var attemptTimeoutMillis = 10_000L
        private var transport: Transport = UrlConnectionTransport()
        private var sessionHeaders = SessionHeaders.BEARER
        private var callbackExecutor = Executor { it.run() }

        fun app(app: String?) = apply { this.app = app }
        fun regRegion(regRegion: String?) = apply { this.regRegion = regRegion }
        fun totalDeadlineMillis(millis: Long) = apply { totalDeadlineMillis = millis }
        fun attemptTimeoutMillis(millis: Long) = apply { attemptTimeoutMillis = millis }
        fun transport(transport: Transport) = apply { this.transport = transport }
        fun sessionHeaders(sessionHeaders: SessionHeaders) = apply { this.sessionHeaders = sessionHeaders }
        /**
         * Runs the callbacks, for example `ContextCompat.getMainExecutor(context)`. Without it: a background thread.
         * The callback of a call is lost if the executor rejects it.
         */
        fun callbackExecutor(executor: Executor) = apply { callbackExecutor = executor }

        fun build() = CallbackTokenClient(
            SdkTokenClient(
                brokerUrl, uniqueId, sessions, storage, app, regRegion,
                totalDeadlineMillis.milliseconds, attemptTimeoutMillis.milliseconds, transport, sessionHeaders,
            ),
            callbackExecutor,
        )
    }
}
