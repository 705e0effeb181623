package androidx.test.platform.app

import android.app.Instrumentation
import android.os.Bundle

/** Robolectric calls it. The real one is not on Maven Central. */
object InstrumentationRegistry {
    @Suppress("UNUSED_PARAMETER")
    @JvmStatic
    fun registerInstance(instrumentation: Instrumentation?, arguments: Bundle?) = Unit
}
