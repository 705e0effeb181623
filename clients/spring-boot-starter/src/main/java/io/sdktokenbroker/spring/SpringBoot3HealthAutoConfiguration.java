package io.sdktokenbroker.spring;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.actuate.health.Health;
import org.springframework.boot.actuate.health.HealthIndicator;
import org.springframework.context.annotation.Bean;

/** Whether the broker can take the requests of this application, for the health endpoint of Spring Boot 3. */
@AutoConfiguration(after = SdkTokenBrokerAutoConfiguration.class)
@ConditionalOnClass(name = "org.springframework.boot.actuate.health.HealthIndicator")
@ConditionalOnBean(BrokerHttp.class)
@ConditionalOnProperty(name = "management.health.sdk-token-broker.enabled", matchIfMissing = true)
public class SpringBoot3HealthAutoConfiguration {
    @Bean
    @ConditionalOnMissingBean(name = "sdkTokenBrokerHealthIndicator")
    HealthIndicator sdkTokenBrokerHealthIndicator(BrokerHttp http) {
        return () -> {
            try {
                BrokerHttp.Readiness readiness = http.readiness();
                return (readiness.ready() ? Health.up() : Health.down()).withDetails(readiness.details()).build();
            } catch (BrokerError error) {
                return Health.down().withDetail("code", error.code()).withDetail("error", error.getMessage()).build();
            }
        };
    }
}
