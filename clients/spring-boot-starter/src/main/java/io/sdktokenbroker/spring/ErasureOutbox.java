package io.sdktokenbroker.spring;

import java.time.Duration;
import java.util.Optional;

/**
 * Erasures that the broker has not confirmed yet. They must survive a restart of the application. With a
 * {@code DataSource}, the starter keeps them in a table. Otherwise define a bean of this type.
 *
 * <p>All instances of the application share one outbox. It must be safe for use by several threads.
 */
public interface ErasureOutbox {
    /**
     * An account that the broker must erase.
     *
     * @param id names this erasure. Two erasures of one account have different ids, because the account can come back
     *     between them
     */
    record Erasure(String id, String unionId) {
        /** Does not contain the account. */
        @Override
        public String toString() {
            return "Erasure[id=" + id + "]";
        }
    }

    /** Adds an erasure that is due at once. If a transaction is active, it should be part of it. */
    void add(String unionId);

    /**
     * Takes the erasure that has been due for the longest time. No other instance gets it within {@code lease}.
     * After that it is due again, because the instance that took it may have ended.
     */
    Optional<Erasure> claim(Duration lease);

    /** Makes a claimed erasure due again after this time. */
    void postpone(Erasure erasure, Duration delay);

    /** Removes an erasure that the broker has confirmed. */
    void remove(Erasure erasure);

    /** The number of all erasures, for the metrics. */
    long count();
}
