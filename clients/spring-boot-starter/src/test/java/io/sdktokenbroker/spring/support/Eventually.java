package io.sdktokenbroker.spring.support;

import java.util.function.BooleanSupplier;

/** Waits in tests. */
public final class Eventually {
    private Eventually() {
    }

    /** Waits until the condition is true. */
    public static void eventually(BooleanSupplier condition) {
        long end = System.nanoTime() + 20_000_000_000L;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("the condition did not become true within 20 s");
            }
            LocalBroker.sleep(20);
        }
    }
}
