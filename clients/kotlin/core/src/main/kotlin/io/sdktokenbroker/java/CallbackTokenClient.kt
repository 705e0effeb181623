package io.sdktokenbroker.java

import io.sdktokenbroker.*
import java.util.concurrent.Executor
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
 * A [TokenClient] for Java: callbacks in place of coroutines. You may call all methods on the main thread. Calls take
 * effect in the order in which you make them, also if you do not wait for a callback. A call without a callback drops
 * its exception. An [Error], for example of your [SessionSource], goes to the uncaught exception handler.
 *
 * @param callbackExecutor runs the callbacks, for example `ContextCompat.getMainExecutor(context)`. The callback of a
 *   call is lost if the executor rejects it
 */
class CallbackTokenClient(private val client: TokenClient, callbackExecutor: Executor) {
    private val callbacks = callbackExecutor.asCoroutineDispatcher()
    private val scope = CoroutineScope(SupervisorJob() + clientThreads)

    /** See [TokenClient.sdkToken]. */
    fun sdkToken(userId: String, callback: Callback<SdkToken>): Cancellable = start(callback) { client.sdkToken(userId) }

    /** See [TokenClient.tokenWasRefused]. */
    @JvmOverloads
    fun tokenWasRefused(callback: Callback<Void?>? = null): Cancellable =
        start(callback) { client.tokenWasRefused().let { null } }

    /** See [TokenClient.useToken]. */
    @JvmOverloads
    fun useToken(userId: String, json: String?, etag: String?, callback: Callback<Void?>? = null): Cancellable =
        start(callback) { client.useToken(userId, json, etag).let { null } }

    /** See [TokenClient.logout]. The result is whether the broker confirmed it. */
    fun logout(callback: Callback<Boolean>): Cancellable = start(callback) { client.logout() }

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
}
