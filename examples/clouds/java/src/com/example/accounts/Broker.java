package com.example.accounts;

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The calls to the broker's internal API. Keep its key secret: it opens the account of every user. */
public final class Broker implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Broker.class);

    private final String url = System.getenv().getOrDefault("BROKER_ADMIN_URL", "http://127.0.0.1:9090");
    private final String key = System.getenv("BROKER_ADMIN_KEY");
    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(3)).build();
    private final ScheduledExecutorService again = Executors.newSingleThreadScheduledExecutor();
    private final Accounts accounts;

    public Broker(Accounts accounts) {
        if (key == null || key.isBlank()) {
            throw new IllegalStateException("set BROKER_ADMIN_KEY to a token of the broker's internal API");
        }
        this.accounts = accounts;
        again.scheduleWithFixedDelay(this::eraseDeleted, 0, 2, TimeUnit.SECONDS);
    }

    /** Deletes the token of the phone. Call it after the session has ended: a valid session gets a new token. */
    public void logout(String id, String uniqueId) {
        deleteTokens("/accounts/" + encode(id) + "/terminals/" + encode(uniqueId));
    }

    /** Deletes the tokens of all phones. The broker refuses all sessions that were issued before this call. */
    public void logoutEverywhere(String id) {
        deleteTokens("/accounts/" + encode(id) + "/terminals");
    }

    /** An ended session gets none of the tokens that are left, as soon as the broker asks this cloud about it again. */
    private void deleteTokens(String path) {
        try {
            delete(path);
        } catch (IOException error) {
            LOG.warn("a logout failed at the broker, which keeps the token: {}", error.toString());
        }
    }

    /** Erases deleted accounts. A failed erasure is tried again every 2 s, also after a restart. */
    public void eraseDeleted() {
        for (String id : accounts.toErase()) {
            try {
                delete("/accounts/" + encode(id));
                accounts.erased(id);
            } catch (IOException | RuntimeException error) {
                // Otherwise the executor would never call this again.
                LOG.warn("an erasure failed and is tried again: {}", error.toString());
                return;
            }
        }
    }

    @Override
    public void close() {
        again.shutdownNow();
    }

    private void delete(String path) throws IOException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).DELETE()
                .header("Authorization", "Bearer " + key).timeout(Duration.ofSeconds(10)).build();
        try {
            int status = http.send(request, BodyHandlers.discarding()).statusCode();
            if (status != 204) {
                throw new IOException("the broker answered " + status);
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            throw new IOException("this process stops");
        }
    }

    private static String encode(String id) {
        return URLEncoder.encode(id, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
