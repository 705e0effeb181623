package io.sdktokenbroker.spring;

import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import io.sdktokenbroker.spring.ErasureOutbox.Erasure;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.springframework.context.SmartLifecycle;
import org.springframework.core.NestedExceptionUtils;

/** Sends the erasures of the outbox to the broker, one after the other, until each one has succeeded. */
class ErasureWorker implements SmartLifecycle {
    static final String HOW_TO_GET_AN_OUTBOX = "Add a DataSource and spring-boot-starter-jdbc, or define a bean of "
            + "the type ErasureOutbox, so that erasures survive a restart. Or call eraseAccountNow() and repeat it.";

    private static final Log LOG = LogFactory.getLog(ErasureWorker.class);
    private static final Duration MAX_PAUSE = Duration.ofMinutes(1);
    /** A page of maintenance may ask for years. */
    private static final Duration MAX_RETRY_AFTER = Duration.ofMinutes(5);
    /** For an erasure that the broker will refuse again. It stays in the outbox, so that somebody can look at it. */
    private static final Duration PAUSE_AFTER_REFUSAL = Duration.ofHours(1);
    /** The time that a claimed erasure may need besides its request. */
    private static final Duration EXTRA_LEASE = Duration.ofSeconds(20);
    private static final Duration STOP_TIMEOUT = Duration.ofSeconds(5);

    private final BrokerHttp http;
    private final ErasureOutbox outbox;
    private final Measurements measurements;
    private final Duration pollInterval;
    private final Duration lease;
    private volatile ScheduledExecutorService thread;
    // Only the thread of the worker uses these two.
    private int failuresInARow;
    private Instant pausedUntil = Instant.MIN;

    ErasureWorker(BrokerHttp http, ErasureOutbox outbox, Measurements measurements, SdkTokenBrokerProperties settings) {
        this.http = http;
        this.outbox = outbox;
        this.measurements = measurements;
        pollInterval = settings.checkedPollInterval();
        lease = settings.checkedTimeout().plus(EXTRA_LEASE);
    }

    @Override
    public void start() {
        thread = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread created = new Thread(task, "sdk-token-broker-erasures");
            created.setDaemon(true);
            return created;
        });
        long interval = pollInterval.toMillis();
        thread.scheduleWithFixedDelay(this::poll, interval, interval, TimeUnit.MILLISECONDS);
    }

    @Override
    public void stop() {
        thread.shutdownNow();
        try {
            thread.awaitTermination(STOP_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public boolean isRunning() {
        return thread != null && !thread.isShutdown();
    }

    private void poll() {
        if (Instant.now().isBefore(pausedUntil)) {
            return;
        }
        try {
            eraseWhatIsDue();
            measurements.pendingErasures(outbox.count());
        } catch (Throwable error) {
            // Otherwise the thread would end without a word. The messages of a database can contain values.
            Throwable cause = NestedExceptionUtils.getMostSpecificCause(error);
            String state = cause instanceof SQLException sql ? ", SQL state " + sql.getSQLState() : "";
            Duration wait = pause(Duration.ZERO);
            LOG.warn("The outbox of erasures failed and is used again in " + wait.toMillis() + " ms: "
                    + cause.getClass().getName() + state);
        }
    }

    private void eraseWhatIsDue() {
        for (Optional<Erasure> due = outbox.claim(lease); due.isPresent(); due = outbox.claim(lease)) {
            Erasure erasure = due.get();
            try {
                http.send(SdkTokenBroker.erasure(erasure.unionId()), 1);
                outbox.remove(erasure);
                failuresInARow = 0;
            } catch (BrokerError error) {
                if (!error.code().equals(BrokerError.REQUEST_INVALID)) {
                    postponeAll(erasure, error);
                    return;
                }
                LOG.error("The broker cannot erase an account, erasure " + erasure.id() + ": " + error.getMessage());
                outbox.postpone(erasure, PAUSE_AFTER_REFUSAL);
            }
        }
    }

    /** The other erasures would fail for the same reason. */
    private void postponeAll(Erasure erasure, BrokerError error) {
        if (error.code().equals(BrokerError.INTERRUPTED)) {
            // The application stops. Without the interruption, the outbox can still write.
            Thread.interrupted();
            outbox.postpone(erasure, Duration.ZERO);
            return;
        }
        Duration wait = pause(error.retryAfter().orElse(Duration.ZERO));
        outbox.postpone(erasure, wait);
        LOG.warn("An erasure failed and is repeated in " + wait.toMillis() + " ms: " + error.getMessage());
    }

    /** Pauses for a time that grows with each failure, at least for the given time if that is not too long. */
    private Duration pause(Duration retryAfter) {
        Duration least = retryAfter.compareTo(MAX_RETRY_AFTER) < 0 ? retryAfter : MAX_RETRY_AFTER;
        Duration backoff = pollInterval.multipliedBy(1L << Math.min(failuresInARow, 16));
        Duration jittered = BrokerHttp.jittered(backoff.compareTo(MAX_PAUSE) < 0 ? backoff : MAX_PAUSE);
        Duration wait = jittered.compareTo(least) > 0 ? jittered : least;
        failuresInARow += 1;
        pausedUntil = Instant.now().plus(wait);
        return wait;
    }
}
