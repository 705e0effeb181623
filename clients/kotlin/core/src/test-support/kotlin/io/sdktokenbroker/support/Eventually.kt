package io.sdktokenbroker.support

import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.withTimeout

/** Waits until the condition is true. */
suspend fun eventually(condition: () -> Boolean) = withTimeout(20.seconds) {
    while (!condition()) delay(10.milliseconds)
}
