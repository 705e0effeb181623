package io.sdktokenbroker.spring;

import java.nio.charset.StandardCharsets;
import java.net.URLEncoder;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

import io.sdktokenbroker.spring.BrokerHttp.Answer;
import io.sdktokenbroker.spring.BrokerHttp.Request;

/**
 * The calls of your cloud to the broker. Each one throws {@link BrokerError} if it fails, also for a value that the
 * broker can only refuse. Safe for use by several threads.
 *
 * <p>{@code unionId} is the id of an account in your cloud: 1 to 128 characters. {@code uniqueId} names a phone: 1 to
 * 128 visible ASCII characters, but neither {@code .} nor {@code ..}. {@code country} is an ISO 3166-1 alpha-2 code, or null. The broker uses it only for the
 * first login of an account.
 *
 * <p>{@link #sdkToken} and {@link #accessId} create an account at the broker that does not exist there. If your cloud
 * has deleted the account during such a call, call {@link #eraseAccount} again.
 */
public class SdkTokenBroker {
    /** The broker refuses more in one request. */
    private static final int ACCESS_IDS_PER_REQUEST = 1_000;
    private static final int MAX_UNION_ID_LENGTH = 128;

    private final BrokerHttp http;
    private final ErasureOutbox outbox;
    private final String app;

    /** @param outbox null: {@link #eraseAccount} fails */
    SdkTokenBroker(BrokerHttp http, ErasureOutbox outbox, String app) {
        this.http = http;
        this.outbox = outbox;
        this.app = app;
    }

    /** The same calls for another app than {@code sdk-token-broker.app}. */
    public SdkTokenBroker forApp(String app) {
        return new SdkTokenBroker(http, outbox, app);
    }

    /**
     * The token of a phone, for the answer of your own login. Let the login succeed if this call fails: the app can
     * ask the broker for the token later. After a timeout, the broker completes its login at the vendor, and the next
     * call gets the result.
     */
    public SdkToken sdkToken(String unionId, String uniqueId, String country) {
        String path = terminal(unionId, uniqueId) + "/sdk-token" + query(country);
        Answer answer = call("sdk-token", "GET", path, 200);
        text(answer.json(), "accessToken");
        return new SdkToken(texts(answer.json()), answer.etag());
    }

    /**
     * Logs a phone out. End its session in your cloud first. Otherwise, the app logs in again with this session. If
     * neither this object nor the settings name an app, the phone is logged out of all apps.
     */
    public void logOut(String unionId, String uniqueId) {
        call("log-out", "DELETE", terminal(unionId, uniqueId) + query(null), 204);
    }

    /**
     * Logs all phones of an account out, of all apps: the user was kicked out or banned, or has a new password. End the
     * sessions in your cloud first. The broker refuses each session that was issued before this call. The account keeps
     * its accessId and its country. A session that is issued within the same second may be refused too. So if a login
     * replaces the session of another phone, use {@link #logOut} for that phone.
     */
    public void logOutEverywhere(String unionId) {
        call("log-out-everywhere", "DELETE", account(unionId, "/terminals"), 204);
    }

    /**
     * Erases an account at the broker. Call it in the transaction that deletes the account in your cloud. This method
     * only adds the erasure to the {@link ErasureOutbox}. Soon after the transaction, the starter sends it to the
     * broker, and repeats this until it succeeds, also after a restart.
     *
     * @throws IllegalStateException if there is no outbox
     */
    public void eraseAccount(String unionId) {
        if (outbox == null) {
            throw new IllegalStateException("There is no ErasureOutbox. " + ErasureWorker.HOW_TO_GET_AN_OUTBOX);
        }
        account(unionId, "");
        outbox.add(unionId);
    }

    /** Erases an account at the broker within this call. Repeat it later if it fails. */
    public void eraseAccountNow(String unionId) {
        http.send(erasure(unionId));
    }

    /**
     * The name of an account at the vendor, with which a camera is shared. For an account that has never logged in,
     * the broker logs in at the vendor, which takes a second or two.
     */
    public String accessId(String unionId, String country) {
        Answer answer = call("access-id", "PUT", account(unionId, "/access-id") + query(country), 200);
        return text(answer.json(), "accessId");
    }

    /**
     * The {@code unionId} for each {@code accessId}, for the list of people that a camera is shared with. The result
     * has no entry for one that the broker does not know.
     */
    public Map<String, String> unionIds(Collection<String> accessIds) {
        List<String> ids = new ArrayList<>(new LinkedHashSet<>(accessIds));
        Map<String, String> found = new HashMap<>();
        for (int from = 0; from < ids.size(); from += ACCESS_IDS_PER_REQUEST) {
            List<String> part = ids.subList(from, Math.min(ids.size(), from + ACCESS_IDS_PER_REQUEST));
            String body = part.stream().map(BrokerHttp::quoted).collect(Collectors.joining(",", "{\"accessIds\":[", "]}"));
            Answer answer = http.send(new Request("look-up", "POST", "/accounts/lookup", body, 200,
                    BoundedText.BOUND_OF_LISTS));
            found.putAll(texts(answer.json()));
        }
        return found;
    }

    /** The account, as the broker knows it. Empty: it has not logged in, or not since its erasure. */
    public Optional<Account> account(String unionId) {
        try {
            Map<String, Object> json = http.send(new Request("account", "GET", account(unionId, ""), null, 200,
                    BoundedText.BOUND_OF_LISTS)).json();
            List<Account.Terminal> terminals = ((List<?>) value(json, "terminals", List.class)).stream()
                    .map(terminal -> (Map<?, ?>) terminal)
                    .map(terminal -> new Account.Terminal(text(terminal, "app"), text(terminal, "uniqueId"),
                            Instant.parse(text(terminal, "issuedAt")), Instant.parse(text(terminal, "expiresAt"))))
                    .toList();
            return Optional.of(new Account(text(json, "accessId"), text(json, "region"), terminals));
        } catch (BrokerError error) {
            if (error.code().equals(BrokerError.NOT_FOUND)) {
                return Optional.empty();
            }
            throw error;
        } catch (ClassCastException | DateTimeParseException error) {
            throw BrokerError.ofAnswer(200, null, null);
        }
    }

    static Request erasure(String unionId) {
        return new Request("erase", "DELETE", account(unionId, ""), null, 204, BoundedText.BOUND);
    }

    private Answer call(String name, String method, String path, int expectedStatus) {
        return http.send(new Request(name, method, path, null, expectedStatus, BoundedText.BOUND));
    }

    private String query(String country) {
        List<String> parts = new ArrayList<>();
        if (country != null) {
            parts.add("regRegion=" + encoded(country, "country"));
        }
        if (app != null) {
            parts.add("app=" + encoded(app, "app"));
        }
        return parts.isEmpty() ? "" : "?" + String.join("&", parts);
    }

    private static String terminal(String unionId, String uniqueId) {
        String path = account(unionId, "/terminals/") + encoded(uniqueId, "uniqueId");
        if (uniqueId.matches("\\.\\.?")) {
            // What is between the starter and the broker may shorten the path.
            throw BrokerError.withoutRequest("uniqueId must have another name than . and ..");
        }
        return path;
    }

    private static String account(String unionId, String rest) {
        String encoded = encoded(unionId, "unionId");
        if (unionId.codePointCount(0, unionId.length()) > MAX_UNION_ID_LENGTH) {
            throw BrokerError.withoutRequest("unionId must have 1 to " + MAX_UNION_ID_LENGTH + " characters");
        }
        return "/accounts/" + encoded + rest;
    }

    private static String encoded(String value, String name) {
        if (value == null || value.isEmpty() || !StandardCharsets.UTF_8.newEncoder().canEncode(value)) {
            throw BrokerError.withoutRequest(name + " must have at least one character, and only valid ones");
        }
        return URLEncoder.encode(value, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private static Map<String, String> texts(Map<String, Object> json) {
        Map<String, String> texts = new LinkedHashMap<>();
        json.forEach((name, value) -> texts.put(name, String.valueOf(value)));
        return texts;
    }

    private static String text(Map<?, ?> json, String name) {
        return value(json, name, String.class);
    }

    private static <T> T value(Map<?, ?> json, String name, Class<T> type) {
        if (type.isInstance(json.get(name))) {
            return type.cast(json.get(name));
        }
        throw BrokerError.ofAnswer(200, null, null);
    }
}
