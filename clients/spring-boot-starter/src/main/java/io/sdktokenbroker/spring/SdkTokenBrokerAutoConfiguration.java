package io.sdktokenbroker.spring;

import javax.sql.DataSource;

import io.micrometer.core.instrument.MeterRegistry;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnSingleCandidate;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.jdbc.core.JdbcTemplate;

/** Gives the application a {@link SdkTokenBroker}, unless it defines one itself. */
// The names in Spring Boot 3 and in 4.
@AutoConfiguration(afterName = {
        "org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration",
        "org.springframework.boot.jdbc.autoconfigure.DataSourceAutoConfiguration",
        "org.springframework.boot.autoconfigure.transaction.jta.JtaAutoConfiguration",
        "org.springframework.boot.transaction.jta.autoconfigure.JtaAutoConfiguration"})
@ConditionalOnMissingBean(SdkTokenBroker.class)
@EnableConfigurationProperties(SdkTokenBrokerProperties.class)
public class SdkTokenBrokerAutoConfiguration {
    private static final Log LOG = LogFactory.getLog(SdkTokenBroker.class);

    @Bean
    BrokerHttp sdkTokenBrokerHttp(SdkTokenBrokerProperties settings, ObjectProvider<Measurements> measurements) {
        return new BrokerHttp(settings, measurements.getIfAvailable(() -> Measurements.NONE));
    }

    @Bean
    SdkTokenBroker sdkTokenBroker(SdkTokenBrokerProperties settings, BrokerHttp http,
            ObjectProvider<ErasureOutbox> outbox) {
        if (outbox.getIfAvailable() == null) {
            LOG.warn("eraseAccount() will fail, because there is no ErasureOutbox. "
                    + ErasureWorker.HOW_TO_GET_AN_OUTBOX);
        }
        return new SdkTokenBroker(http, outbox.getIfAvailable(), settings.checkedApp());
    }

    // The nested classes come first, so that this condition sees the outbox of the table.
    @Bean
    @ConditionalOnBean(ErasureOutbox.class)
    ErasureWorker sdkTokenBrokerErasureWorker(SdkTokenBrokerProperties settings, BrokerHttp http, ErasureOutbox outbox,
            ObjectProvider<Measurements> measurements) {
        return new ErasureWorker(http, outbox, measurements.getIfAvailable(() -> Measurements.NONE), settings);
    }

    @Configuration(proxyBeanMethods = false)
    @ConditionalOnClass(JdbcTemplate.class)
    @ConditionalOnSingleCandidate(DataSource.class)
    static class Table {
        @Bean
        @ConditionalOnMissingBean
        ErasureOutbox sdkTokenBrokerErasureOutbox(DataSource dataSource, SdkTokenBrokerProperties settings) {
            return new JdbcErasureOutbox(dataSource, settings.outbox());
        }
    }

    @Configuration(proxyBeanMethods = false)
    @ConditionalOnClass(MeterRegistry.class)
    static class Metrics {
        @Bean
        Measurements sdkTokenBrokerMeasurements(ObjectProvider<MeterRegistry> registry) {
            MeterRegistry found = registry.getIfUnique();
            return found == null ? Measurements.NONE : new MicrometerMeasurements(found);
        }
    }
}
