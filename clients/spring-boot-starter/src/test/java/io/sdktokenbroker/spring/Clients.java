package io.sdktokenbroker.spring;

import java.time.Duration;

/** Clients without an application. */
class Clients {
    private Clients() {
    }

    static SdkTokenBroker of(String url, String key) {
        return of(url, key, Duration.ofSeconds(10));
    }

    static SdkTokenBroker of(String url, String key, Duration timeout) {
        return new SdkTokenBroker(http(url, key, timeout), null, null);
    }

    static BrokerHttp http(String url, String key, Duration timeout) {
        return new BrokerHttp(new SdkTokenBrokerProperties(url, key, timeout, null, null), Measurements.NONE);
    }
}
