package io.sdktokenbroker.spring;

import java.time.Duration;

/** Takes the measurements of the client. Without Micrometer, they are lost. */
interface Measurements {
    Measurements NONE = new Measurements() {
        @Override
        public void called(String call, String outcome, Duration duration) {
        }

        @Override
        public void pendingErasures(long count) {
        }
    };

    /** @param outcome {@code success}, or the code of the error */
    void called(String call, String outcome, Duration duration);

    void pendingErasures(long count);
}
