package com.example.cloud;

import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.springframework.stereotype.Component;

/** Limits the look-ups of each user, so that nobody can try out names. */
@Component
public class LookupLimit {
    private static final int AT_ONCE = 10;
    private static final long INTERVAL_MS = 6_000;

    /** By unionId, when the user's next look-up is due. */
    private final Map<String, Long> dueAt = new ConcurrentHashMap<>();

    /** Counts a look-up. Returns how long the user must wait; zero if the look-up is allowed. */
    Duration count(String unionId) {
        long now = System.currentTimeMillis();
        long[] waitMs = {0};
        dueAt.compute(unionId, (user, due) -> {
            long next = Math.max(now, due == null ? 0 : due);
            waitMs[0] = Math.max(0, next - (AT_ONCE - 1) * INTERVAL_MS - now);
            return waitMs[0] > 0 ? next : next + INTERVAL_MS;
        });
        return Duration.ofMillis(waitMs[0]);
    }

    void forget(String unionId) {
        dueAt.remove(unionId);
    }
}
