package io.sdktokenbroker

import kotlinx.coroutines.*

/** Runs [work] once for all callers that wait at the same time. It is cancelled when the last of them leaves. */
internal class SharedRequest<T>(private val work: suspend () -> T) {
    private class Run<T>(val result: Deferred<T>, var waiting: Int = 0)

    private val scope = CoroutineScope(SupervisorJob() + clientThreads)
    private var current: Run<T>? = null

    inner class Caller {
        private var run: Run<T>? = null

        fun join() = synchronized(this@SharedRequest) {
            run = (current?.takeIf { it.result.isActive } ?: Run(scope.async { work() })).also {
                it.waiting += 1
                current = it
            }
        }

        /** Throws the reason if [cancel] ended the request. Call [join] before. */
        suspend fun await(): T = try {
            checkNotNull(run).result.await()
        } catch (error: CancellationException) {
            currentCoroutineContext().ensureActive()
            // The coroutine machinery may have wrapped the cause.
            throw generateSequence<Throwable>(error) { it.cause }.firstOrNull { it is BrokerError } ?: error
        }

        fun leave() = synchronized(this@SharedRequest) {
            run?.let {
                it.waiting -= 1
                if (it.waiting == 0) it.result.cancel()
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
