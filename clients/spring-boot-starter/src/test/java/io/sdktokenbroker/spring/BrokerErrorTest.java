package io.sdktokenbroker.spring;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

import io.sdktokenbroker.spring.support.CannedServer;
import io.sdktokenbroker.spring.support.LocalBroker;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static io.sdktokenbroker.spring.support.CannedServer.answer;
import static io.sdktokenbroker.spring.support.CannedServer.problem;
import static io.sdktokenbroker.spring.support.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

/** Failures, from the built broker and from what can stand before it. */
class BrokerErrorTest {
    private static final String TOKEN = answer("200 OK", "{\"accessToken\":\"secret\"}", "ETag: \"1\"");
    private static final String ERASED = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

    private final LocalBroker local = LocalBroker.shared();
    private final SdkTokenBroker broker = Clients.of(local.url(), LocalBroker.KEY).forApp("ios");
    private final String account = LocalBroker.newAccount();

    private BrokerError failure(Runnable call) {
        BrokerError error = (BrokerError) catchThrowable(call::run);
        assertThat(error).isNotNull();
        assertThat(error.getMessage()).contains(error.code()).doesNotContain(account, LocalBroker.KEY, "phone-1");
        return error;
    }

    private BrokerError failure(SdkTokenBroker client) {
        return failure(() -> client.sdkToken(account, "phone-1", "DE"));
    }

    private static SdkTokenBroker client(CannedServer server) {
        return Clients.of(server.url(), LocalBroker.KEY, Duration.ofSeconds(3));
    }

    @AfterEach
    void letTheVendorBeWell() {
        local.vendor("{\"fault\":\"none\"}");
    }

    @Test
    void aWrongKeyNamesTheSetting() {
        BrokerError error = failure(Clients.of(local.url(), "wrong-key-with-enough-characters"));
        assertThat(error.code()).isEqualTo("session_invalid");
        assertThat(error.status()).isEqualTo(401);
        assertThat(error.retryable()).isFalse();
        assertThat(error).hasMessageContaining("the broker refused sdk-token-broker.key");
        assertThat(error.requestId()).isPresent();
        assertThat(error).hasMessageContaining(error.requestId().orElseThrow());
    }

    @Test
    void aWrongCountryIsNamed() {
        BrokerError error = failure(() -> broker.accessId(account, "UK"));
        assertThat(error.code()).isEqualTo("request_invalid");
        assertThat(error.status()).isEqualTo(400);
        assertThat(error).hasMessageContaining("regRegion");
    }

    @Test
    void anAccountThatTheVendorHasClosed() {
        local.vendor("{\"fault\":\"account-closed\"}");
        BrokerError error = failure(broker);
        assertThat(error.code()).isEqualTo("account_disabled");
        assertThat(error.status()).isEqualTo(403);
        assertThat(error.retryable()).isFalse();
    }

    @Test
    void aVendorThatRefusesSaysItsCode() {
        local.vendor("{\"fault\":\"frozen-app\"}");
        BrokerError error = failure(broker);
        assertThat(error.code()).isEqualTo("vendor_rejected");
        assertThat(error).hasMessageContaining("vendorCode ");
    }

    @Test
    void aBrokerThatIsDown() {
        BrokerError error = failure(Clients.of("http://127.0.0.1:" + LocalBroker.freePort(), LocalBroker.KEY));
        assertThat(error.code()).isEqualTo(BrokerError.NETWORK_UNAVAILABLE);
        assertThat(error.status()).isZero();
        assertThat(error.retryable()).isTrue();
        assertThat(error.retryAfter()).isEmpty();
    }

    @Test
    void aCallThatTakesLongerThanTheTimeoutEndsAndItsLoginIsUsedByTheNextCall() {
        local.vendor("{\"latencyMs\":1500}");
        SdkTokenBroker hasty = Clients.of(local.url(), LocalBroker.KEY, Duration.ofMillis(500)).forApp("ios");
        long start = System.nanoTime();
        assertThat(failure(hasty).code()).isEqualTo(BrokerError.NETWORK_TIMEOUT);
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThanOrEqualTo(Duration.ofMillis(500));
        local.vendor("{\"latencyMs\":0}");
        assertThat(broker.sdkToken(account, "phone-1", "DE")).isNotNull();
        assertThat(local.vendorLogins(account)).isEqualTo(1);
    }

    @Test
    void anAccountWithTerminalsThatAreNoObjectsIsAnUnexpectedAnswer() throws IOException {
        String json = "{\"accessId\":\"-1\",\"region\":\"DE\",\"terminals\":[7]}";
        try (CannedServer server = new CannedServer(answer("200 OK", json))) {
            BrokerError error = failure(() -> client(server).account(account));
            assertThat(error.code()).isEqualTo(BrokerError.UNEXPECTED_ANSWER);
        }
    }

    @Test
    void anAnswerThatStopsWithinItsBodyEndsWithTheTimeout() throws IOException {
        try (CannedServer server = new CannedServer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")) {
            SdkTokenBroker hasty = Clients.of(server.url(), LocalBroker.KEY, Duration.ofMillis(500));
            assertThat(failure(hasty).code()).isEqualTo(BrokerError.NETWORK_TIMEOUT);
        }
    }

    @Test
    void aTokenOf64KiBAndAnAccountOf2MiBAreUsedAndLongerOnesAreNot() throws IOException {
        String token = padded("{\"accessToken\":\"secret\"}", 64 * 1_024);
        try (CannedServer server = new CannedServer(answer("200 OK", token), answer("200 OK", " " + token))) {
            assertThat(client(server).sdkToken(account, "phone-1", "DE").values()).hasSize(1);
            assertThat(failure(client(server)).code()).isEqualTo(BrokerError.UNEXPECTED_ANSWER);
        }
        String known = padded("{\"accessId\":\"-1\",\"region\":\"DE\",\"terminals\":[]}", 2 * 1_024 * 1_024);
        try (CannedServer server = new CannedServer(answer("200 OK", known), answer("200 OK", " " + known))) {
            assertThat(client(server).account(account)).isPresent();
            assertThat(failure(() -> client(server).account(account)).code())
                    .isEqualTo(BrokerError.UNEXPECTED_ANSWER);
        }
    }

    private static String padded(String json, int bytes) {
        return " ".repeat(bytes - json.length()) + json;
    }

    @ParameterizedTest
    @CsvSource({"PT10S, unexpected_answer", "PT0.1S, network_timeout"})
    void anAnswerWithoutAnEndIsReadUntilTheBoundOrTheTimeout(Duration timeout, String code) throws IOException {
        try (CannedServer server = new CannedServer(CannedServer.WITHOUT_END)) {
            assertThat(failure(Clients.of(server.url(), LocalBroker.KEY, timeout)).code()).isEqualTo(code);
            eventually(server::clientHasClosed);
        }
    }

    @Test
    void aRetryWaitsAsLongAsRetryAfterDemands() throws IOException {
        try (CannedServer server = new CannedServer(problem(503, "vendor_busy", true, "Retry-After: 1"), TOKEN)) {
            assertThat(client(server).sdkToken(account, "phone-1", "DE").etag()).isEqualTo("\"1\"");
            assertThat(Duration.ofNanos(server.requests.get(1) - server.requests.get(0)))
                    .isGreaterThanOrEqualTo(Duration.ofMillis(990));
        }
    }

    @Test
    void aRetryAfterBeyondTheTimeoutIsLeftToTheCaller() throws IOException {
        try (CannedServer server = new CannedServer(problem(429, "rate_limited", true, "Retry-After: 30"), TOKEN)) {
            BrokerError error = failure(client(server));
            assertThat(error.code()).isEqualTo("rate_limited");
            assertThat(error.retryAfter()).isEqualTo(Optional.of(Duration.ofSeconds(30)));
            assertThat(server.requests).hasSize(1);
        }
    }

    @Test
    void aCallIsTriedThreeTimesAtMost() throws IOException {
        try (CannedServer server = new CannedServer(problem(503, "store_unavailable", true))) {
            BrokerError error = failure(client(server));
            assertThat(error.code()).isEqualTo("store_unavailable");
            assertThat(error.requestId()).contains("request-1");
            assertThat(server.requests).hasSize(3);
        }
    }

    @Test
    void anErrorThatARetryCannotChangeIsNotRepeated() throws IOException {
        try (CannedServer server = new CannedServer(problem(403, "terminal_limit", false))) {
            assertThat(failure(client(server)).code()).isEqualTo("terminal_limit");
            assertThat(server.requests).hasSize(1);
        }
    }

    @Test
    void aConnectionThatBreaksIsTriedAgain() throws IOException {
        try (CannedServer server = new CannedServer(CannedServer.HANG_UP, TOKEN)) {
            assertThat(client(server).sdkToken(account, "phone-1", "DE").values()).hasSize(1);
        }
    }

    @ParameterizedTest
    @CsvSource({"502 Bad Gateway, true", "200 OK, false", "302 Found, false", "404 Not Found, false",
            "204 No Content, false"})
    void anAnswerOfSomethingElseIsUnexpected(String status, boolean retryable) throws IOException {
        String body = status.startsWith("204") ? "" : "<html>";
        try (CannedServer server = new CannedServer(answer(status, body, "Location: /login"))) {
            BrokerError error = failure(client(server));
            assertThat(error.code()).isEqualTo(BrokerError.UNEXPECTED_ANSWER);
            assertThat(error.status()).isEqualTo(Integer.parseInt(status.substring(0, 3)));
            assertThat(error.retryable()).isEqualTo(retryable);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"200 OK", "404 Not Found"})
    void onlyTheAnswerOfTheBrokerCountsAsAnErasure(String status) throws IOException {
        try (CannedServer server = new CannedServer(answer(status, "{}"))) {
            assertThat(failure(() -> client(server).eraseAccountNow(account)).code())
                    .isEqualTo(BrokerError.UNEXPECTED_ANSWER);
        }
        try (CannedServer server = new CannedServer(ERASED)) {
            client(server).eraseAccountNow(account);
        }
    }

    @Test
    void a404OfAnotherServerDoesNotMeanThatTheAccountIsUnknown() throws IOException {
        try (CannedServer server = new CannedServer(answer("404 Not Found", "<html>"))) {
            assertThat(failure(() -> client(server).account(account)).code())
                    .isEqualTo(BrokerError.UNEXPECTED_ANSWER);
        }
    }

    @Test
    void thePublicApiAnswersNoCall() {
        broker.sdkToken(account, "phone-1", "DE");
        SdkTokenBroker client = Clients.of(local.publicUrl(), LocalBroker.KEY);
        for (Runnable call : List.<Runnable>of(() -> client.account(account), () -> client.eraseAccountNow(account),
                () -> client.logOutEverywhere(account), () -> client.accessId(account, "DE"), () -> client.unionIds(List.of("1")))) {
            BrokerError error = failure(call);
            assertThat(error.code()).isEqualTo(BrokerError.UNEXPECTED_ANSWER);
            assertThat(error).hasMessageContaining("sdk-token-broker.url is not the internal API");
            assertThat(error.retryable()).isFalse();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"{}", "{\"accessId\":null,\"accessToken\":7,\"terminals\":{}}"})
    void anAnswerWithoutItsValuesIsUnexpected(String body) throws IOException {
        try (CannedServer server = new CannedServer(answer("200 OK", body))) {
            SdkTokenBroker client = client(server);
            for (Runnable call : List.<Runnable>of(() -> client.sdkToken(account, "phone-1", "DE"),
                    () -> client.accessId(account, "DE"), () -> client.account(account))) {
                assertThat(failure(call).code()).isEqualTo(BrokerError.UNEXPECTED_ANSWER);
            }
        }
    }

    @Test
    void anInterruptedCallEndsAtOnceAndKeepsTheInterruption() throws IOException {
        try (CannedServer server = new CannedServer("HTTP/1.1 200 OK\r\n")) {
            Thread.currentThread().interrupt();
            BrokerError error = failure(client(server));
            assertThat(Thread.interrupted()).isTrue();
            assertThat(error.code()).isEqualTo(BrokerError.INTERRUPTED);
            assertThat(error.retryable()).isFalse();
        }
    }
}
