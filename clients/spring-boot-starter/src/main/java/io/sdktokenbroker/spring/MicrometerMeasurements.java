package io.sdktokenbroker.spring;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;

/** A timer of the calls, and a gauge of the erasures that wait. No tag identifies an account or a phone. */
class MicrometerMeasurements implements Measurements {
    private final MeterRegistry registry;
    private final AtomicLong pendingErasures = new AtomicLong();

    MicrometerMeasurements(MeterRegistry registry) {
        this.registry = registry;
        Gauge.builder("sdk.token.broker.erasures.pending", pendingErasures, AtomicLong::get)
                .description("Erasures that the broker has not confirmed yet").register(registry);
    }

    @Override
    public void called(String call, String outcome, Duration duration) {
        Timer.builder("sdk.token.broker.calls").description("Calls to the broker, with their retries")
                .tag("call", call).tag("outcome", outcome).register(registry).record(duration);
    }

    @Override
    public void pendingErasures(long count) {
        pendingErasures.set(count);
    }
}
