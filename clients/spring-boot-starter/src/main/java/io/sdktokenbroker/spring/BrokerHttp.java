package io.sdktokenbroker.spring;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

import org.springframework.boot.json.BasicJsonParser;
import org.springframework.boot.json.JsonParseException;
import org.springframework.boot.json.JsonParser;
import org.springframework.boot.json.JsonParserFactory;

/**
 * Requests to the broker's internal API. It uses the HTTP client of the JDK, because the clients of Spring log
 * addresses and bodies at the level DEBUG.
 */
class BrokerHttp {
    /**
     * @param name of the call in the metrics
     * @param body JSON, or null
     * @param maxBytes bound of the answer
     */
    record Request(String name, String method, String path, String body, int expectedStatus, int maxBytes) {
    }

    record Answer(Map<String, Object> json, String etag) {
    }

    record Readiness(boolean ready, Map<String, Object> details) {
    }

    /** The cheapest call that needs the key. All callers of one second share its answer. */
    private static final Request STATUS = new Request("status", "GET", "/status", null, 200,
            BoundedText.BOUND_OF_LISTS);
    private static final int MAX_ATTEMPTS = 3;
    private static final Duration FIRST_PAUSE = Duration.ofMillis(200);
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(2);
    private static final Duration READINESS_TIMEOUT = Duration.ofSeconds(2);

    // A client that may switch to HTTP/2 sends headers for it with each request, and the broker has only HTTP/1.1.
    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1).connectTimeout(CONNECT_TIMEOUT).build();
    private final JsonParser parser = JsonParserFactory.getJsonParser();
    private final String url;
    private final String key;
    private final Duration timeout;
    private final Measurements measurements;

    BrokerHttp(SdkTokenBrokerProperties settings, Measurements measurements) {
        if (parser instanceof BasicJsonParser) {
            // The parser of Spring Boot itself does not decode all texts correctly.
            throw new SettingsException("The application has no JSON library that Spring Boot can use.",
                    "Add spring-boot-starter-json (Spring Boot 3) or spring-boot-starter-jackson (Spring Boot 4).");
        }
        url = settings.checkedUrl();
        key = settings.checkedKey();
        timeout = settings.checkedTimeout();
        this.measurements = measurements;
    }

    /**
     * Sends a request, and repeats it as long as the timeout and {@code Retry-After} allow it. All requests of the
     * internal API can be repeated.
     */
    Answer send(Request request) {
        return send(request, MAX_ATTEMPTS);
    }

    /** @param attempts the number of attempts, at most */
    Answer send(Request request, int attempts) {
        long start = System.nanoTime();
        String outcome = "success";
        try {
            for (int attempt = 1;; attempt += 1) {
                Duration left = timeout.minusNanos(System.nanoTime() - start);
                try {
                    return attempt(request, left);
                } catch (BrokerError error) {
                    Duration pause = error.retryAfter().orElse(jittered(FIRST_PAUSE.multipliedBy(1L << attempt - 1)));
                    left = timeout.minusNanos(System.nanoTime() - start);
                    if (!error.retryable() || attempt >= attempts || pause.compareTo(left) >= 0) {
                        throw error;
                    }
                    sleep(pause);
                }
            }
        } catch (BrokerError error) {
            outcome = error.code();
            throw error;
        } finally {
            measurements.called(request.name(), outcome, Duration.ofNanos(System.nanoTime() - start));
        }
    }

    /** Whether the broker says that it can take requests. If it does, it must also accept the key. One attempt. */
    Readiness readiness() {
        HttpResponse<String> answer = exchange(request("GET", "/readyz", null).build(), BoundedText.BOUND,
                READINESS_TIMEOUT);
        Map<String, Object> json = parse(answer.body());
        boolean hasStatus = answer.statusCode() == 200 || answer.statusCode() == 503;
        if (!hasStatus || json == null || !(json.get("checks") instanceof Map<?, ?> checks)) {
            throw BrokerError.ofAnswer(answer.statusCode(), null, null);
        }
        boolean ready = answer.statusCode() == 200;
        if (ready) {
            // The public API has the same readiness, which needs no key.
            attempt(STATUS, READINESS_TIMEOUT);
        }
        return new Readiness(ready, Map.of("checks", checks));
    }

    /** A time between 75 % and 125 % of this one, so that instances do not repeat their requests at the same moment. */
    static Duration jittered(Duration duration) {
        return Duration.ofMillis((long) (duration.toMillis() * ThreadLocalRandom.current().nextDouble(0.75, 1.25)));
    }

    private Answer attempt(Request request, Duration left) {
        HttpRequest.Builder builder = request(request.method(), request.path(), request.body())
                .header("Authorization", "Bearer " + key);
        HttpResponse<String> answer = exchange(builder.build(), request.maxBytes(), left);
        Map<String, Object> json = parse(answer.body());
        boolean isWhole = json != null || request.expectedStatus() == 204;
        if (answer.statusCode() != request.expectedStatus() || !isWhole) {
            throw BrokerError.ofAnswer(answer.statusCode(), json, retryAfter(answer));
        }
        return new Answer(json, answer.headers().firstValue("ETag").orElse(null));
    }

    private HttpRequest.Builder request(String method, String path, String body) {
        HttpRequest.Builder builder =
                HttpRequest.newBuilder(URI.create(url + path)).header("Accept", "application/json");
        if (body == null) {
            return builder.method(method, BodyPublishers.noBody());
        }
        return builder.header("Content-Type", "application/json").method(method, BodyPublishers.ofString(body));
    }

    /** A text in JSON, in ASCII. Spring Boot has a writer only from 3.4 on. */
    static String quoted(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char character : text.toCharArray()) {
            boolean isPlain = character >= ' ' && character <= '~' && character != '"' && character != '\\';
            json.append(isPlain ? character : String.format("\\u%04x", (int) character));
        }
        return json.append('"').toString();
    }

    /** Waits for the whole answer. The timeout of a request in the JDK ends with its headers. */
    private HttpResponse<String> exchange(HttpRequest request, int maxBytes, Duration left) {
        CompletableFuture<HttpResponse<String>> answer =
                http.sendAsync(request, head -> new BoundedText(maxBytes));
        try {
            return answer.get(Math.max(1, left.toMillis()), TimeUnit.MILLISECONDS);
        } catch (TimeoutException error) {
            throw BrokerError.withoutAnswer(BrokerError.NETWORK_TIMEOUT, null);
        } catch (ExecutionException error) {
            // Only an IOException is known to hold nothing of the request.
            Throwable cause = error.getCause() instanceof IOException ? error.getCause() : null;
            throw BrokerError.withoutAnswer(BrokerError.NETWORK_UNAVAILABLE, cause);
        } catch (InterruptedException error) {
            throw interrupted();
        } finally {
            answer.cancel(true);
        }
    }

    /** Null: the body is no JSON object. */
    private Map<String, Object> parse(String body) {
        try {
            return parser.parseMap(body);
        } catch (JsonParseException error) {
            return null;
        }
    }

    /** A proxy may send a date instead of seconds. It is ignored. */
    private static Duration retryAfter(HttpResponse<String> answer) {
        return answer.headers().firstValue("Retry-After").filter(value -> value.matches("\\d{1,9}"))
                .map(seconds -> Duration.ofSeconds(Long.parseLong(seconds))).orElse(null);
    }

    private static void sleep(Duration duration) {
        try {
            Thread.sleep(duration.toMillis());
        } catch (InterruptedException error) {
            throw interrupted();
        }
    }

    private static BrokerError interrupted() {
        Thread.currentThread().interrupt();
        return BrokerError.withoutAnswer(BrokerError.INTERRUPTED, null);
    }
}
