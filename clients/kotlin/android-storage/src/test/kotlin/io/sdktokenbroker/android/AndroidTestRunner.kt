package io.sdktokenbroker.android

import android.app.Instrumentation
import android.os.Bundle
import javax.inject.Named
import org.robolectric.RobolectricTestRunner
import org.robolectric.android.internal.AndroidTestEnvironment
import org.robolectric.internal.AndroidSandbox.TestEnvironmentSpec
import org.robolectric.internal.ShadowProvider
import org.robolectric.pluginapi.Sdk
import org.robolectric.pluginapi.TestEnvironmentLifecyclePlugin

/** Runs a test with the classes of a real Android, without the library `androidx.test`, which is not on Maven Central. */
class AndroidTestRunner(testClass: Class<*>) : RobolectricTestRunner(
    testClass,
    defaultInjector().bind(TestEnvironmentSpec::class.java, TestEnvironmentSpec(Environment::class.java)).build(),
) {
    class Environment(
        @Named("runtimeSdk") sdk: Sdk,
        @Named("compileSdk") compileSdk: Sdk,
        shadows: Array<ShadowProvider>,
        plugins: Array<TestEnvironmentLifecyclePlugin>,
    ) : AndroidTestEnvironment(sdk, compileSdk, shadows, plugins) {
        // The tests run in the main thread.
        override fun pickInstrumentation() = object : Instrumentation() {
            override fun runOnMainSync(runner: Runnable) = runner.run()
            override fun finish(resultCode: Int, results: Bundle?) = Unit
        }
    }
}
