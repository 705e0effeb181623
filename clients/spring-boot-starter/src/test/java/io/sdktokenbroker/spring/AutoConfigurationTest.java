package io.sdktokenbroker.spring;

import javax.sql.DataSource;

import io.micrometer.core.instrument.MeterRegistry;
import io.sdktokenbroker.spring.support.LocalBroker;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.mockito.Mockito.mock;

/** The beans that an application gets. */
class AutoConfigurationTest {
    private static final String URL = "sdk-token-broker.url=http://broker.internal:9090/";
    private static final String KEY = "sdk-token-broker.key= " + LocalBroker.KEY + "\n";

    private final ApplicationContextRunner runner = new ApplicationContextRunner().withConfiguration(
            AutoConfigurations.of(SdkTokenBrokerAutoConfiguration.class, SpringBoot3HealthAutoConfiguration.class,
                    SpringBoot4HealthAutoConfiguration.class));

    @Configuration
    static class OwnBroker {
        @Bean
        SdkTokenBroker broker() {
            return mock(SdkTokenBroker.class);
        }
    }

    @Test
    void twoSettingsAreEnough() {
        runner.withPropertyValues(URL, KEY).run(context -> {
            assertThat(context).hasNotFailed().hasSingleBean(SdkTokenBroker.class)
                    .hasBean("sdkTokenBrokerHealthIndicator");
            assertThat(context.getBean(SdkTokenBrokerProperties.class).timeout()).hasSeconds(10);
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "broker.internal:9090", "ftp://broker.internal", "http://a b",
            "http://user:secret@broker.internal", "http://broker.internal:9090/#secret"})
    void aWrongUrlStopsTheStartAndNamesTheSetting(String url) {
        runner.withPropertyValues("sdk-token-broker.url=" + url, KEY).run(context -> {
            FailureAnalysis analysis = new SettingsException.Analyzer().analyze(context.getStartupFailure());
            assertThat(analysis.getDescription()).startsWith("sdk-token-broker.url is missing, or is not an address");
            assertThat(analysis.getAction()).startsWith("Set it to the internal API of the broker");
            assertThat(context.getStartupFailure()).hasStackTraceContaining("sdk-token-broker.url")
                    .hasMessageNotContaining("secret");
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "tooshort", "a-key-with-spaces in it", "a-key-with-änother-letter"})
    void aWrongKeyStopsTheStartWithoutItsValue(String key) {
        runner.withPropertyValues(URL, "sdk-token-broker.key=" + key).run(context -> {
            assertThat(context.getStartupFailure())
                    .hasStackTraceContaining("sdk-token-broker.key is missing, has less");
            if (!key.isEmpty()) {
                assertThat(context.getStartupFailure()).hasMessageNotContaining(key);
            }
        });
    }

    @Test
    void aKeyThatSpringHasNotResolvedStopsTheStart() {
        runner.withPropertyValues(URL, "sdk-token-broker.key=${SOME_VARIABLE_OF_NOBODY}")
                .run(context -> assertThat(context.getStartupFailure()).hasStackTraceContaining(
                        "sdk-token-broker.key contains ${, so Spring has found no value for it."));
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "-1s", "1ns"})
    void aTimeoutMustBePositive(String timeout) {
        runner.withPropertyValues(URL, KEY, "sdk-token-broker.timeout=" + timeout)
                .run(context -> assertThat(context.getStartupFailure())
                        .hasStackTraceContaining("sdk-token-broker.timeout is less than 1 ms."));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "ios,android", "${APP}"})
    void aWrongAppStopsTheStart(String app) {
        runner.withPropertyValues(URL, KEY, "sdk-token-broker.app=" + app)
                .run(context -> assertThat(context.getStartupFailure())
                        .hasStackTraceContaining("sdk-token-broker.app is empty, has more than 64 characters, or"));
    }

    @Test
    void aTableMustHaveAName() {
        assertThat(catchThrowable(() -> new JdbcErasureOutbox(
                mock(DataSource.class), new SdkTokenBrokerProperties.Outbox("a; drop", true, null))))
                .hasMessageContaining("sdk-token-broker.outbox.table");
    }

    @Test
    void aBrokerOfTheApplicationReplacesEverything() {
        runner.withUserConfiguration(OwnBroker.class).run(context -> assertThat(context).hasNotFailed()
                .hasSingleBean(SdkTokenBroker.class).doesNotHaveBean("sdkTokenBrokerHealthIndicator"));
    }

    @Test
    void theHealthCanBeSwitchedOff() {
        runner.withPropertyValues(URL, KEY, "management.health.sdk-token-broker.enabled=false")
                .run(context -> assertThat(context).hasNotFailed().doesNotHaveBean("sdkTokenBrokerHealthIndicator"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"org.springframework.jdbc", "io.micrometer", "org.springframework.boot.actuate",
            "org.springframework.boot.health"})
    void theStarterDoesNotNeedWhatIsOptional(String missing) {
        runner.withPropertyValues(URL, KEY).withClassLoader(new FilteredClassLoader(missing))
                .run(context -> assertThat(context).hasNotFailed().hasSingleBean(SdkTokenBroker.class));
    }

    @Test
    void anApplicationWithoutAJsonLibraryDoesNotStart() {
        runner.withPropertyValues(URL, KEY)
                .withClassLoader(new FilteredClassLoader("com.fasterxml.jackson", "tools.jackson", "com.google.gson"))
                .run(context -> assertThat(context.getStartupFailure()).hasStackTraceContaining("has no JSON library"));
    }

    @Test
    void noRegistryOfMetricsIsNeeded() {
        runner.withPropertyValues(URL, KEY).run(context -> {
            assertThat(context).doesNotHaveBean(MeterRegistry.class);
            assertThat(context.getBean(Measurements.class)).isSameAs(Measurements.NONE);
        });
    }
}
