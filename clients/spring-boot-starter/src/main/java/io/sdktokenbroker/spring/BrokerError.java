package io.sdktokenbroker.spring;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A call that failed. It contains no token, no key and no id of an account, so it may appear in a log. */
public class BrokerError extends RuntimeException {
    /** There is no connection to the broker. */
    public static final String NETWORK_UNAVAILABLE = "network_unavailable";
    /** The broker did not answer within {@code sdk-token-broker.timeout}. */
    public static final String NETWORK_TIMEOUT = "network_timeout";
    /** Something else than the internal API of the broker answered, for example a load balancer. */
    public static final String UNEXPECTED_ANSWER = "unexpected_answer";
    /** The thread was interrupted, for example because the application stops. */
    public static final String INTERRUPTED = "interrupted";

    /** The broker refuses a value of the call, or would refuse it. */
    static final String REQUEST_INVALID = "request_invalid";
    /** The broker does not know the account. */
    static final String NOT_FOUND = "not_found";

    private static final long serialVersionUID = 1;
    /** A load balancer that reaches no replica answers with one of these statuses, and without a code. */
    private static final Set<Integer> STATUSES_OF_BUSY_SERVERS = Set.of(429, 502, 503, 504);

    private final String code;
    private final int status;
    private final boolean retryable;
    private final Duration retryAfter;
    private final String requestId;

    private BrokerError(String message, String code, int status, boolean retryable, Duration retryAfter,
            String requestId, Throwable cause) {
        super(message, cause);
        this.code = code;
        this.status = status;
        this.retryable = retryable;
        this.retryAfter = retryAfter;
        this.requestId = requestId;
    }

    /** The code of the broker, such as {@code account_disabled}, or one of the constants of this class. */
    public String code() {
        return code;
    }

    /** The status of HTTP. 0: there was no answer, or no request. */
    public int status() {
        return status;
    }

    /** Whether the same call may succeed later. */
    public boolean retryable() {
        return retryable;
    }

    /** The time after which a retry makes sense, if the broker has said it. */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }

    /** The name of the request in the broker's log. */
    public Optional<String> requestId() {
        return Optional.ofNullable(requestId);
    }

    /** @param problem does not contain the value, because it can be the id of an account */
    static BrokerError withoutRequest(String problem) {
        return new BrokerError(REQUEST_INVALID + ", " + problem, REQUEST_INVALID, 0, false, null, null, null);
    }

    static BrokerError withoutAnswer(String code, Throwable cause) {
        return new BrokerError(code, code, 0, !code.equals(INTERRUPTED), null, null, cause);
    }

    /** @param problem the body (RFC 9457). Null: it is no JSON object */
    static BrokerError ofAnswer(int status, Map<String, Object> problem, Duration retryAfter) {
        if (status < 400 || problem == null || !(problem.get("code") instanceof String code)) {
            boolean busy = STATUSES_OF_BUSY_SERVERS.contains(status);
            return new BrokerError(UNEXPECTED_ANSWER + ", status " + status, UNEXPECTED_ANSWER, status, busy,
                    retryAfter, null, null);
        }
        String requestId = problem.get("requestId") instanceof String id ? id : null;
        // For an unknown account, the internal API sends a detail. For an unknown address, the broker sends none.
        if (code.equals(NOT_FOUND) && !problem.containsKey("detail")) {
            return new BrokerError(UNEXPECTED_ANSWER + ", status " + status
                    + ", sdk-token-broker.url is not the internal API of the broker, or the broker has no ADMIN_TOKEN",
                    UNEXPECTED_ANSWER, status, false, retryAfter, requestId, null);
        }
        String message = Stream.of(
                code,
                "status " + status,
                status == 401 ? "the broker refused sdk-token-broker.key" : null,
                problem.get("detail"),
                problem.containsKey("vendorCode") ? "vendorCode " + problem.get("vendorCode") : null,
                requestId == null ? null : "request " + requestId)
                .filter(part -> part != null).map(String::valueOf).collect(Collectors.joining(", "));
        boolean retryable = Boolean.TRUE.equals(problem.get("retryable"));
        return new BrokerError(message, code, status, retryable, retryAfter, requestId, null);
    }
}
