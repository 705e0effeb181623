package io.sdktokenbroker.spring;

import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Collectors;

import example.CameraCloud;
import io.sdktokenbroker.spring.support.LocalBroker;
import io.sdktokenbroker.spring.support.TestApplication;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.boot.SpringBootVersion;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ConfigurableApplicationContext;

import static io.sdktokenbroker.spring.support.Eventually.eventually;
import static io.sdktokenbroker.spring.support.LocalBroker.json;
import static org.assertj.core.api.Assertions.assertThat;

/** The example cloud, over HTTP. */
@ExtendWith(OutputCaptureExtension.class)
class ApplicationTest {
    private static final LocalBroker local = LocalBroker.shared();
    private static ConfigurableApplicationContext application;
    private static String url;

    private final String account = LocalBroker.newAccount();

    @BeforeAll
    static void start(@TempDir Path folder) {
        application = TestApplication.start(CameraCloud.class, TestApplication.settings(local.url(), folder,
                "management.endpoints.web.exposure.include=health,metrics,configprops",
                "management.endpoint.health.show-details=always",
                "logging.level.io.sdktokenbroker=trace", "logging.level.org.springframework.jdbc=debug"));
        url = url(application);
    }

    private static String url(ConfigurableApplicationContext application) {
        return "http://127.0.0.1:" + application.getEnvironment().getProperty("local.server.port");
    }

    @AfterAll
    static void stop() {
        application.close();
    }

    private static HttpResponse<String> call(String method, String path) {
        return LocalBroker.call(method, url + path, null);
    }

    private static HttpResponse<String> callAs(String user, String method, String path) {
        return LocalBroker.call(method, url + path, null, "X-User", user);
    }

    private static void register(String account) {
        call("POST", "/accounts/" + account + "?country=DE");
    }

    private static HttpResponse<String> login(String account) {
        return callAs(account, "POST", "/login?uniqueId=phone-1");
    }

    private static Map<?, ?> healthOfTheBroker() {
        return healthOfTheBroker(application);
    }

    private static Map<?, ?> healthOfTheBroker(ConfigurableApplicationContext application) {
        Map<String, Object> health = json(LocalBroker.call("GET", url(application) + "/actuator/health", null));
        return (Map<?, ?>) ((Map<?, ?>) health.get("components")).get("sdkTokenBroker");
    }

    private static double measured(String path) {
        return LocalBroker.number(call("GET", "/actuator/metrics/" + path), "value");
    }

    @Test
    void runsWithTheVersionOfSpringBootThatMavenHasChosen() {
        assertThat(SpringBootVersion.getVersion()).isEqualTo(System.getProperty("spring-boot.version"));
    }

    @Test
    void aLifeFromTheLoginToTheErasureLogsNoTokenNoKeyAndNoAccount(CapturedOutput output) {
        register(account);
        Map<?, ?> token = (Map<?, ?>) json(login(account)).get("sdkToken");
        assertThat(local.vendorAccepts((String) token.get("accessToken"))).isTrue();
        assertThat(callAs(account, "DELETE", "/account/phones/phone-1").statusCode()).isEqualTo(200);
        assertThat(local.accountStatus(account)).isEqualTo(200);
        assertThat(callAs(account, "DELETE", "/account").statusCode()).isEqualTo(200);
        eventually(() -> local.accountStatus(account) == 404);
        assertThat(output.getAll()).doesNotContain(account, LocalBroker.KEY, (String) token.get("accessToken"),
                (String) token.get("accessId"));
    }

    @Test
    void anOutageOfTheBrokerIsVisibleAndStopsNoLogin() {
        register(account);
        login(account);
        Map<String, Object> up = Map.of("status", "UP", "details", Map.of("checks", Map.of("store", "ok")));
        eventually(() -> up.equals(healthOfTheBroker()));
        local.stopBroker();
        try {
            assertThat(healthOfTheBroker()).isEqualTo(Map.of("status", "DOWN", "details",
                    Map.of("code", "network_unavailable", "error", "network_unavailable")));
            HttpResponse<String> answer = login(account);
            assertThat(answer.statusCode()).isEqualTo(200);
            assertThat(json(answer)).isEmpty();
            callAs(account, "DELETE", "/account");
            eventually(() -> measured("sdk.token.broker.erasures.pending") == 1);
        } finally {
            local.startBroker();
        }
        eventually(() -> up.equals(healthOfTheBroker()));
        eventually(() -> measured("sdk.token.broker.erasures.pending") == 0);
        assertThat(local.accountStatus(account)).isEqualTo(404);
    }

    @Test
    void aKeyThatTheBrokerRefusesIsVisible(@TempDir Path folder) {
        assertThat(healthWith(local.url(), "wrong-key-with-enough-characters", folder))
                .containsEntry("code", "session_invalid")
                .extractingByKey("error").asString().contains("the broker refused sdk-token-broker.key")
                .doesNotContain("wrong-key-with-enough-characters");
    }

    @Test
    void anAddressThatIsNotTheInternalApiIsVisible(@TempDir Path folder) {
        assertThat(healthWith(local.publicUrl(), LocalBroker.KEY, folder)).containsEntry("code", "unexpected_answer")
                .extractingByKey("error").asString().contains("sdk-token-broker.url is not the internal API");
    }

    private static Map<String, Object> healthWith(String brokerUrl, String key, Path folder) {
        try (ConfigurableApplicationContext wrong = TestApplication.start(CameraCloud.class, TestApplication.settings(
                brokerUrl, folder, "sdk-token-broker.key=" + key, "management.endpoint.health.show-details=always"))) {
            Map<?, ?> health = healthOfTheBroker(wrong);
            assertThat(health.get("status")).isEqualTo("DOWN");
            return ((Map<?, ?>) health.get("details")).entrySet().stream()
                    .collect(Collectors.toMap(detail -> (String) detail.getKey(), Map.Entry::getValue));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "%C3%A9"})
    void aNameThatNoPhoneCanHaveStopsNoLogin(String uniqueId) {
        register(account);
        HttpResponse<String> answer = callAs(account, "POST", "/login?uniqueId=" + uniqueId);
        assertThat(answer.statusCode()).isEqualTo(200);
        assertThat(json(answer)).isEmpty();
    }

    @Test
    void theCallsAreMeasuredByNameAndOutcome() {
        register(account);
        login(account);
        String path = "sdk.token.broker.calls?tag=call:sdk-token&tag=outcome:";
        double before = measured(path + "success");
        login(account);
        assertThat(measured(path + "success")).isEqualTo(before + 1);
        local.vendor("{\"fault\":\"account-closed\"}");
        String closed = LocalBroker.newAccount();
        register(closed);
        login(closed);
        local.vendor("{\"fault\":\"none\"}");
        assertThat(measured(path + "account_disabled")).isEqualTo(1);
    }

    @Test
    void theListOfSettingsDoesNotShowTheKey() {
        HttpResponse<String> settings = call("GET", "/actuator/configprops");
        assertThat(settings.body()).contains("sdk-token-broker").doesNotContain(LocalBroker.KEY);
        assertThat(application.getBean(SdkTokenBrokerProperties.class).toString()).contains(local.url())
                .doesNotContain(LocalBroker.KEY);
    }
}
