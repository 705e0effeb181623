package io.sdktokenbroker

import kotlinx.coroutines.*

/** Runs [work] once for all callers that wait at the same time. It is cancelled when the last of them is cancelled. */
internal class SharedRequest<T>(private val work: suspend () -> T) {
    private class Run<T>(val result: Deferred<T>, var waiting: Int = 0)

    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.IO)
    private var current: Run<T>? = null

    /** Throws the reason if [cancel] ended the request. */
    suspend fun await(): T {
        val run = synchronized(this) {
            (current?.takeIf { it.result.isActive } ?: Run(scope.async { work() })).also {
                it.waiting += 1
                current = it
            }
        }
        try {
            return run.result.await()
        } catch (error: CancellationException) {
            currentCoroutineContext().ensureActive()
            // The coroutine machinery may have wrapped the cause.
            throw generateSequence<Throwable>(error) { it.cause }.firstOrNull { it is BrokerError } ?: error
        } finally {
            synchronized(this) {
                run.waiting -= 1
                if (run.waiting == 0) run.result.cancel()
            }
        }
    }

    /** Callers from now on get a request of their own. */
    fun detach() = synchronized(this) { current = null }

    fun cancel(reason: BrokerError) {
        detach()
        scope.coroutineContext.cancelChildren(CancellationException(reason.message, reason))
    }
}
