package io.sdktokenbroker.java

import kotlin.coroutines.Continuation
import kotlin.coroutines.intrinsics.startCoroutineUninterceptedOrReturn
import kotlin.coroutines.intrinsics.suspendCoroutineUninterceptedOrReturn
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive

/** A `suspend` function of Kotlin, as Java sees it: `continuation -> GWIoT.INSTANCE.logout(continuation)`. */
fun interface SuspendFunction<T> {
    fun start(continuation: @JvmSuppressWildcards Continuation<T>): Any?
}

fun interface Mapping<T, R> {
    @Throws(Exception::class)
    fun map(value: T): R
}

/** Lets the adapter in Java implement `suspend` functions. Other code does not need it. */
object Suspending {
    /** Calls [function] and returns its result, mapped by [map], to [continuation]. Return what this method returns. */
    @JvmStatic
    fun <T, R> map(continuation: Continuation<R>, function: SuspendFunction<T>, map: Mapping<T, R>): Any? =
        suspend { map.map(function.await()) }.startCoroutineUninterceptedOrReturn(continuation)

    /** As above, but [onFailure] maps an exception to a result. A cancellation stays one. */
    @JvmStatic
    fun <T, R> map(
        continuation: Continuation<R>, function: SuspendFunction<T>, map: Mapping<T, R>, onFailure: Mapping<Exception, R>,
    ): Any? = suspend {
        try {
            map.map(function.await())
        } catch (error: Exception) {
            currentCoroutineContext().ensureActive()
            onFailure.map(error)
        }
    }.startCoroutineUninterceptedOrReturn(continuation)
}

internal suspend fun <T> SuspendFunction<T>.await(): T = suspendCoroutineUninterceptedOrReturn(::start)
